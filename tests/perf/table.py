"""The table of hot-path costs: what an operation costs here, what it costs the public implementation, what it may cost.

The public implementation's figures (google/ghost-userspace, ABI 91) were measured alone in the same way: a mock in the
kernel's place, one thread, g++ 12, -O2. "instructions / ns"; ns are of another machine and only say how it compares
with itself.
"""
import dataclasses
import json
import re


@dataclasses.dataclass(frozen=True)
class Row:
    operation: str
    benchmark: str  # a regular expression that is all of its name, but for arguments
    public: str = "-"
    limit: float = None  # instructions to reach; None: nothing is asked
    arguments: str = None  # a regular expression that is all of the arguments: "N:10/C:256"; None: any
    minus: str = None  # the benchmark, with the same arguments, of what the harness itself costs there


CFS_TURN = "CFS: the same turn"
CFS_WAKE = "CFS: one wakes, and no CPU is idle"

# By policy: its name; what the public one's costs when nothing is to do, when one decision is, and for each of 255
# decisions of a pass; what ours may cost in the last case.
CENTRALIZED = {
    "CentralizedFifoPolicy": ("FIFO", "41000 / 6700", "42300", "768 / 41", 350),
    "SolPolicy": ("SOL", "39000 / 6700", "40400", "418 / 24", 250),
    "ShinjukuPolicy": ("Shinjuku", "145000 / 7200", "146000", "1013 / 58", 450),
    "EdfPolicy": ("EDF", "29000 / 1600", "29900", "1030 / 106", 500),
}


NOTHING = "centralized, nothing to do"
ONE = "centralized, one blocks, the next gets its CPU"
EACH = "centralized, each decision when all CPUs are free"


def centralized_rows():
    rows = []
    kinds = [NOTHING, ONE, EACH]
    for policy, (name, nothing, one, each, limit) in CENTRALIZED.items():
        rows += [
            Row(NOTHING + ": " + name, "BM_NothingToDo<%s>" % policy, nothing, 200, "N:\\d+/C:256"),
            Row(NOTHING + ": " + name, "BM_NothingToDo<%s>" % policy, limit=200),
            Row(ONE + ": " + name, "BM_OneDecision<%s>" % policy, one, 1000, "N:\\d+/C:256"),
            Row(ONE + ": " + name, "BM_OneDecision<%s>" % policy, limit=1000),
            Row(EACH + ": " + name, "BM_AllFree<%s>" % policy, each, limit, "N:1000/C:256"),
        ]
        if name == "EDF":
            rows.append(Row(rows[-1].operation, rows[-1].benchmark, "1444 / 630", 800, "N:100000/C:256"))
        rows.append(Row(rows[-1].operation, rows[-1].benchmark))
    return sorted(rows, key=lambda row: kinds.index(row.operation.partition(":")[0]))


# In the order of the table. A benchmark belongs to the first row that has its name and arguments.
ROWS = [
    Row("take one message from the queue (peek and consume)", "BM_PeekConsume", "38 / 3", 25),
    Row("... and keep its task's state, with a policy that does nothing; 10 messages a pass", "BM_DrainPerMessage",
        arguments="N:10"),
    Row("... and keep its task's state, with a policy that does nothing", "BM_DrainPerMessage", "139 / 8", 60),
    Row("find the task of a message", "BM_FindTask", "49 / 2", 10, minus="BM_FindNothing"),
    Row("a new task, between passes: memory, affinity, place", "BM_NewTask",
        "1540 for its name, 17 us for its process"),
    Row("open a transaction", "BM_RunRequestOpen", "70 / 6", 40),
    Row("commit one CPU", "BM_CommitOneCpu", "150 / 20", 60),
    Row("commit a group of one CPU", "BM_GroupCommit", "568 / 43", 120, "C:\\d+/committed:1"),
    Row("commit a group of 255 CPUs", "BM_GroupCommit"),
    Row("FIFO per CPU: one task blocks, one wakes, the next gets the CPU", "BM_Turn<FifoPolicy>", "921 / 97", 350),
    Row(CFS_TURN, "BM_Turn<CfsPolicy>", "2897 / 238", 1000, "N:10"),
    Row(CFS_TURN, "BM_Turn<CfsPolicy>", "3397 / 369", 1200, "N:1000"),
    Row(CFS_TURN, "BM_Turn<CfsPolicy>", "3924 / 1423", 1500, "N:100000"),
    Row(CFS_WAKE, "BM_WakeWithoutIdleCpu<CfsPolicy>", "1344", 500, "C:1"),
    Row(CFS_WAKE, "BM_WakeWithoutIdleCpu<CfsPolicy>", "2925", 500, "C:8"),
    Row(CFS_WAKE, "BM_WakeWithoutIdleCpu<CfsPolicy>", "13899", 500, "C:100"),
    Row(CFS_WAKE, "BM_WakeWithoutIdleCpu<CfsPolicy>", "30700 / 3800", 500, "C:256"),
    *centralized_rows(),
    Row("walk over 256 CPUs", "BM_IterateCpus", "17800", 1500),
    Row("walk over all cores of 256 CPUs", "BM_AllCores", "46000", 1500),
    Row("256 CPUs to a cpu_set_t", "BM_ToCpuSetT", "19800", 1500),
    Row("256 CPUs to a vector", "BM_ToVector", "75000", 1500),
]

# Operations that return memory from the heap.
MAY_ALLOCATE = ["BM_ToVector", "BM_NewTask"]


def row_of(benchmark, arguments):
    """The row of a benchmark with its arguments ("N:10/C:256"), or None."""
    for row in ROWS:
        if row.benchmark == benchmark and (row.arguments is None or re.fullmatch(row.arguments, arguments)):
            return row
    return None


def results(counts, times):
    """One entry for each benchmark, in the order of the table."""
    harness = {row.minus for row in ROWS if row.minus}
    found = []
    for name, counted in counts.items():
        benchmark, _, arguments = name.partition("/")
        if benchmark in harness:
            continue
        row = row_of(benchmark, arguments)
        if row is None:
            raise KeyError("no row for " + name)
        minus = row.minus and row.minus + name[len(benchmark):]
        instructions = round(counted["instructions"] - (counts[minus]["instructions"] if minus else 0), 1)
        found.append({"operation": row.operation, "arguments": arguments.replace(":", " = ").replace("/", ", "),
                      "benchmark": name, "instructions": instructions,
                      "ns": round(times[name] - (times[minus] if minus else 0), 1) if name in times else None,
                      "allocations": round(counted["allocations"], 3), "public": row.public, "to_reach": row.limit,
                      "reached": row.limit is None or instructions <= row.limit})
    # Stable: the order of a row's arguments is the benchmark's own.
    order = {row.operation: i for i, row in reversed(list(enumerate(ROWS)))}
    found.sort(key=lambda entry: order[entry["operation"]])
    return found


def markdown(entries):
    lines = ["| operation | | instructions | ns | allocations | to reach | public implementation |",
             "|---|---|---:|---:|---:|---:|---|"]
    previous = None
    for e in entries:
        limit = "-" if e["to_reach"] is None else "%d%s" % (e["to_reach"], "" if e["reached"] else " **missed**")
        lines.append("| %s | %s | %s | %s | %s | %s | %s |" % (
            "" if e["operation"] == previous else e["operation"], e["arguments"], "%.0f" % e["instructions"],
            "-" if e["ns"] is None else "%.1f" % e["ns"], "%g" % e["allocations"], limit, e["public"]))
        previous = e["operation"]
    for e in entries:
        operation, _, policy = e["operation"].partition(": ")
        if operation == EACH and e["arguments"] == "N = 1000, C = 256" and e["ns"]:
            lines.append("%s* %s over 256 CPUs: %.1f million decisions a second" % (
                "\n" if lines[-1][0] == "|" else "", policy, 1e3 / e["ns"]))
    return "\n".join(lines) + "\n"


def as_json(entries):
    return json.dumps(entries, indent=1) + "\n"
