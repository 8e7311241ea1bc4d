"""Small files of the kernel's, in /proc, /sys and cgroups: read if they are there, and written whole."""


def read_text(path: str) -> str:
    """Without the white space around it; empty if there is no such file, or it may not be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def write_text(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
