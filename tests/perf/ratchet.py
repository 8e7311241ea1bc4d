"""The ratchet: what each hot path cost when limits.json was written, and what may become of it."""
import json

# What it counts: all but what takes a minute to set up. (tests/perf/run.sh counts that, too.)
FILTER = "-N:100000"
GROWTH = 1.05  # more than this much fails
SHRINKAGE = 0.85  # less than this much is worth a lower limit
SLACK = 2  # instructions; a count of 20 is not spoiled by one


def write(path, counts):
    figures = {name: round(counted["instructions"], 1) for name, counted in counts.items()}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=1, sort_keys=True)
        file.write("\n")


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def complaints(limits, counts, may_allocate=()):
    """What is wrong (fails) and what should be lowered (is only said)."""
    wrong, lower = [], []
    for name, limit in limits.items():
        if name not in counts:
            wrong.append("%s: no such benchmark; tests/perf/limits.json names it" % name)
            continue
        now = counts[name]["instructions"]
        if now > limit * GROWTH and now > limit + SLACK:
            wrong.append("%s: %.1f instructions, %.1f before: +%.0f %%" % (name, now, limit, 100 * (now / limit - 1)))
        elif now < limit * SHRINKAGE and now < limit - SLACK:
            lower.append("%s: %.1f instructions, %.1f before" % (name, now, limit))
        if counts[name]["allocations"] > 0 and name.partition("/")[0] not in may_allocate:
            wrong.append("%s: %g allocations per operation" % (name, counts[name]["allocations"]))
    wrong += ["%s: tests/perf/limits.json has no figure for it" % name for name in counts if name not in limits]
    return wrong, lower
