"""The native code of calls: one text for every function, which reads what to do from tables.

`gf.core(d, args, count)` is a whole call: it checks the arrays, binds and checks the sizes, makes the
results, calls the entry.  It gives the result, 0 with a Python exception set, or MISS where anything
is unusual; then nothing has happened, and Python does it all.  Around it are two vectorcall functions:
`gf.call` goes on to `__call__` where it misses, and `gf.attempt` gives NotImplemented.

No address is in the text: `d` is the address of a call's table (`runtime/fastcall.py` makes it),
whose first word is the address of the process's table.  Both are int64 arrays.
"""

from __future__ import annotations

from graphflow.graph.dim import MAX_EXTENT
from graphflow.runtime.store import ReadWriteLock as Lock
from graphflow.runtime.wordcode import DECLARATIONS, Variable, Word, WordFunction

MISS = 1
COUNT = 2**63 - 1  # of a vectorcall's argument count, the bits that count
LONG_WORK = 400_000  # elementary operations, some 20 us, above which a call lets other Python threads run


def _fields(names: str) -> dict[str, int]:
    """Offsets in bytes of consecutive words."""
    return {name: 8 * i for i, name in enumerate(names.split())}


# the process: a number that changes when calls must be looked at anew, objects, and functions of CPython and NumPy
PROCESS = _fields(
    "generation ndarray none not_implemented call_name new_array incref decref save_thread restore_thread "
    "thread_ident new_list set_list new_tuple set_tuple tuple_size call_no_args call_one_arg call_method take_memory free_memory no_memory"
)
# a call: `inputs` counts arguments, `operands` these and the state; the other plural names are addresses of tables
CALL = _fields(
    "process generation owner busy inputs operands shapes pointers operand_records "
    "axes axis_count values value_count steps step_count results checks check_count equalities equality_count "
    "registers output_axes output_axis_count output_sizes output_records outputs made out_pointers "
    "capacity workspace needed work entry constants parallel calls lock writes unlock failed structure rebuild"
)
# rows of the tables.  Sizes are registers: first the Dims, then constants, then the results of steps
OPERAND = _fields("dtype rank flags cell")  # `cell` of state only
AXIS = _fields("register operand offset")  # a Dim that is the size of an axis
VALUE = _fields("register operand bytes signed")  # a Dim that is the value of an integer scalar
STEP = _fields("kind a b")
CHECK = _fields("operand offset register")  # an axis whose size must be what the register holds
EQUALITY = _fields("a b")
OUTPUT = _fields("dtype rank sizes")
STEPS = ("+", "*", "//", "%", "min", "max")
STRUCTURES = ("none", "one", "list", "tuple", "rebuilt")

# where CPython and NumPy keep things; `runtime/cpython.py` checks it in each process
OBJECT = {"type": 8}
ARRAY = {"data": 16, "rank": 24, "sizes": 32, "dtype": 56, "flags": 64}
CELL = {"array": 16}
PLAIN, WRITEABLE = 0x101, 0x400  # flags: C-contiguous and aligned; not read-only


class Core(WordFunction):
    """`gf.core`."""

    def __init__(self) -> None:
        super().__init__("gf.core", "d", "args", "count", internal=True)
        self.d, self.args, self.count = self.params
        self.result: Variable = self.variable(MISS)
        self.made: Variable = self.variable(0)
        self.check_operands()
        self.bind()
        self.size()
        self.allocate()
        self.run()
        self.deliver()
        self.leave("unwind")
        self.give_up()

    def of(self, name: str) -> Word:
        """A word of the call's table."""
        return self.d.at(CALL[name])

    def process(self, name: str) -> Word:
        return self.of("process").at(PROCESS[name])

    def row(self, table: str, number: Word, fields: dict[str, int]) -> Word:
        return self.of(table) + number * (8 * len(fields))

    def register(self, number: Word) -> Word:
        return self.of("registers").at(number << 3)

    def check_operands(self) -> None:
        """Miss unless the arguments, and the state as its cells hold it, are plain arrays of the right dtypes and ranks."""
        self.leave_if(self.of("generation").ne(self.process("generation")), "miss")
        self.leave_if(self.of("busy").ne(0), "miss")
        self.leave_if(self.count.ne(self.of("inputs")), "miss")
        ndarray = self.process("ndarray")
        with self.loop(self.of("inputs")) as i:
            self.check_operand(i, self.args.at(i << 3), ndarray)
        with self.loop(self.of("operands") - self.of("inputs")) as i:
            number = i + self.of("inputs")
            cell = self.row("operand_records", number, OPERAND).at(OPERAND["cell"])
            self.check_operand(number, cell.at(CELL["array"]), ndarray)

    def check_operand(self, number: Word, array: Word, ndarray: Word) -> None:
        record = self.row("operand_records", number, OPERAND)
        self.leave_if(array.at(OBJECT["type"]).ne(ndarray), "miss")
        self.leave_if(array.at(ARRAY["dtype"]).ne(record.at(OPERAND["dtype"])), "miss")
        self.leave_if(array.at(ARRAY["rank"], bits=32).ne(record.at(OPERAND["rank"])), "miss")
        flags = record.at(OPERAND["flags"])
        self.leave_if((array.at(ARRAY["flags"], bits=32) & flags).ne(flags), "miss")
        self.of("pointers").put(number << 3, array.at(ARRAY["data"]))
        self.of("shapes").put(number << 3, array.at(ARRAY["sizes"]))

    def bind(self) -> None:
        """The Dims, from axes and from the values of integer scalars."""
        with self.loop(self.of("axis_count")) as i:
            row = self.row("axes", i, AXIS)
            shape = self.of("shapes").at(row.at(AXIS["operand"]) << 3)
            self.set_dim(row.at(AXIS["register"]), shape.at(row.at(AXIS["offset"])))
        with self.loop(self.of("value_count")) as i:
            row = self.row("values", i, VALUE)
            self.set_dim(row.at(VALUE["register"]), self.scalar(row))

    def set_dim(self, register: Word, value: Word) -> None:
        self.leave_if(value > MAX_EXTENT, "miss")
        self.leave_if(value < -MAX_EXTENT, "miss")
        self.of("registers").put(register << 3, value)

    def scalar(self, row: Word) -> Word:
        """An integer of 1 to 8 bytes, byte by byte; a uint64 above the largest int64 becomes negative and is refused."""
        data = self.of("pointers").at(row.at(VALUE["operand"]) << 3)
        total = self.variable(0)
        with self.loop(row.at(VALUE["bytes"])) as k:
            total.set(total.get() | (data.at(k, bits=8) << (k << 3)))
        with self.when(row.at(VALUE["signed"]).ne(0)):
            unused = (row.at(VALUE["bytes"]) << 3) * -1 + 64
            total.set((total.get() << unused) >> unused)
        with self.when(row.at(VALUE["signed"]).eq(0)):
            self.leave_if(total.get() < 0, "miss")
        return total.get()

    def size(self) -> None:
        """Miss unless every size, and the workspace, is as it must be."""
        with self.loop(self.of("step_count")) as i:
            self.step(i)
        with self.loop(self.of("check_count")) as i:
            row = self.row("checks", i, CHECK)
            shape = self.of("shapes").at(row.at(CHECK["operand"]) << 3)
            self.leave_if(shape.at(row.at(CHECK["offset"])).ne(self.register(row.at(CHECK["register"]))), "miss")
        with self.loop(self.of("equality_count")) as i:
            row = self.row("equalities", i, EQUALITY)
            self.leave_if(self.register(row.at(EQUALITY["a"])).ne(self.register(row.at(EQUALITY["b"]))), "miss")
        self.leave_if(self.register(self.of("needed")) > self.of("capacity"), "miss")
        with self.loop(self.of("output_axis_count")) as i:
            extent = self.register(self.of("output_axes").at(i << 3))
            self.leave_if(extent < 0, "miss")
            self.of("output_sizes").put(i << 3, extent)

    def step(self, number: Word) -> None:
        """One operation on sizes, as `compiler/manifest.py` defines them; one that does not fit 64 bits is a miss."""
        row = self.row("steps", number, STEP)
        kind, a, b = row.at(STEP["kind"]), self.register(row.at(STEP["a"])), self.register(row.at(STEP["b"]))
        total = self.variable(0)
        with self.when(kind.eq(STEPS.index("+"))):
            total.set(self.checked("add", a, b, "miss"))
        with self.when(kind.eq(STEPS.index("*"))):
            total.set(self.checked("mul", a, b, "miss"))
        for word in ("min", "max"):
            with self.when(kind.eq(STEPS.index(word))):
                total.set(self.extreme(word, a, b))
        for word in ("//", "%"):
            with self.when(kind.eq(STEPS.index(word))), self.when(b.ne(0)):
                total.set(self.floor_division(word, a, b))
        self.of("results").put(number << 3, total.get())

    def floor_division(self, word: str, a: Word, b: Word) -> Word:
        """Rounded down, as in Python; b is not 0."""
        self.leave_if(b.eq(-1), "miss")
        quotient = self.value(f"sdiv i64 {a.text}, {b.text}")
        rest = a - quotient * b
        crossing = self.variable(0)  # is the quotient negative and inexact?
        with self.when(rest.ne(0)), self.when((rest ^ b) < 0):
            crossing.set(1)
        return quotient - crossing.get() if word == "//" else rest + b * crossing.get()

    def allocate(self) -> None:
        """New arrays for the results.  From here on the table is in use, and `owner` keeps it."""
        self.d.put(CALL["busy"], 1)
        self.call(self.process("incref"), self.of("owner"))
        with self.loop(self.of("outputs")) as i:
            row = self.row("output_records", i, OUTPUT)
            self.call(self.process("incref"), row.at(OUTPUT["dtype"]))
            made = self.call(self.process("new_array"), self.process("ndarray"), row.at(OUTPUT["dtype"]), row.at(OUTPUT["rank"]), row.at(OUTPUT["sizes"]), 0, 0, 0, 0)
            with self.when(made.eq(0)):
                self.result.set(0)
            self.leave_if(made.eq(0), "drop")
            self.of("made").put(i << 3, made)
            self.of("out_pointers").put(i << 3, made.at(ARRAY["data"]))
            self.made.set(i + 1)

    def run(self) -> None:
        """The entry.  A short call keeps the GIL, which makes it exclusive; a long one takes the Store's lock and lets it go."""
        lock, writes = self.of("lock"), self.of("writes")
        with self.when(lock.ne(0)):
            held = lock.at(8 * Lock.WRITER) | (lock.at(8 * Lock.READERS) & (writes * -1))
            self.leave_if(held.ne(0), "drop")
        status = self.variable(0)
        long = self.register(self.of("work")) > LONG_WORK
        short = self.condition("sle", self.register(self.of("work")), LONG_WORK)
        with self.when(long):
            with self.when(lock.ne(0)):
                self.leave_if(lock.at(8 * Lock.CHANGING).ne(0), "drop")
                lock.put(8 * Lock.DEPTH, writes)
                lock.add_to(8 * Lock.READERS, writes * -1 + 1)
                lock.put(8 * Lock.WRITER, self.call(self.process("thread_ident")) * writes)
            state = self.call(self.process("save_thread"))
            status.set(self.enter())
            self.call(self.process("restore_thread"), state)
            with self.when(lock.ne(0)):
                self.unlock(lock, writes)
        with self.when(short):
            status.set(self.enter())
        calls = self.of("calls")
        calls.add_to(0, 1)
        with self.when((status.get() & 0xFFFFFFFF).ne(0)):
            self.call(self.process("call_no_args"), self.of("failed"))
            self.result.set(0)
            self.leave("drop")

    def enter(self) -> Word:
        pointers, inputs = self.of("pointers"), self.of("inputs")
        return self.call(
            self.of("entry"), pointers, self.of("out_pointers"), self.of("registers"), pointers + (inputs << 3),
            self.of("constants"), self.of("workspace"), self.of("parallel"),
        )  # fmt: skip

    def unlock(self, lock: Word, writes: Word) -> None:
        """In place, or by Python where a thread waits for the lock or is about to change it."""
        watched = lock.at(8 * Lock.CHANGING) | lock.at(8 * Lock.SLEEPERS)
        with self.when(watched.eq(0)):
            lock.put(8 * Lock.DEPTH, 0)
            lock.put(8 * Lock.WRITER, 0)
            lock.add_to(8 * Lock.READERS, writes - 1)
        with self.when(watched.ne(0)):
            done = self.call(self.process("call_no_args"), self.of("unlock"))
            with self.when(done.eq(0)):
                self.result.set(0)
                self.leave("drop")
            self.call(self.process("decref"), done)

    def deliver(self) -> None:
        """The results in the structure asked for."""
        kind, made = self.of("structure"), self.of("made")
        with self.when(kind.eq(STRUCTURES.index("none"))):
            self.call(self.process("incref"), self.process("none"))
            self.result.set(self.process("none"))
        with self.when(kind.eq(STRUCTURES.index("one"))):
            self.result.set(made.at())
        with self.when(kind.eq(STRUCTURES.index("tuple"))):
            self.collect("tuple")
        with self.when(kind > STRUCTURES.index("one")), self.when(kind.ne(STRUCTURES.index("tuple"))):
            self.collect("list")
        with self.when(kind.eq(STRUCTURES.index("rebuilt"))):
            values = self.result.get()
            self.result.set(self.call(self.process("call_one_arg"), self.of("rebuild"), values))
            self.call(self.process("decref"), values)

    def collect(self, kind: str) -> None:
        values = self.call(self.process(f"new_{kind}"), self.of("outputs"))
        with self.when(values.eq(0)):
            self.result.set(0)
        self.leave_if(values.eq(0), "drop")
        with self.loop(self.of("outputs")) as i:
            self.call(self.process(f"set_{kind}"), values, i, self.of("made").at(i << 3))
        self.result.set(values)

    def give_up(self) -> None:
        self.block("drop")
        with self.loop(self.made.get()) as i:
            self.call(self.process("decref"), self.of("made").at(i << 3))
        self.block("unwind")
        owner = self.of("owner")
        decref = self.process("decref")
        self.d.put(CALL["busy"], 0)
        self.call(decref, owner)
        self.give(self.result.get())
        self.block("miss")
        self.give(MISS)


def call_function(table_at: int) -> WordFunction:
    """`gf.call`, for objects that have the table's address at `table_at`."""
    f = WordFunction("gf.call", "self", "args", "flagged", "names")
    me, args, flagged, names = f.params
    count = f.variable(flagged & COUNT)
    f.leave_if(names.ne(0), "slow")
    result = f.call("gf.core", me.at(table_at), args, count.get())
    f.leave_if(result.eq(MISS), "slow")
    f.give(result)
    f.block("slow")
    process = me.at(table_at).at(CALL["process"])
    given = f.variable(count.get())
    with f.when(names.ne(0)):
        given.set(given.get() + f.call(process.at(PROCESS["tuple_size"]), names))
    with_self = f.call(process.at(PROCESS["take_memory"]), (given.get() << 3) + 8)
    f.leave_if(with_self.eq(0), "full")
    with_self.put(0, me)
    with f.loop(given.get()) as i:
        with_self.put((i << 3) + 8, args.at(i << 3))
    result = f.call(process.at(PROCESS["call_method"]), process.at(PROCESS["call_name"]), with_self, count.get() + 1, names)
    f.call(process.at(PROCESS["free_memory"]), with_self)
    f.give(result)
    f.block("full")
    f.give(f.call(process.at(PROCESS["no_memory"])))
    return f


def attempt_function(table_at: int) -> WordFunction:
    """`gf.attempt`, for objects that have the table's address at `table_at`."""
    f = WordFunction("gf.attempt", "self", "args", "flagged", "names")
    me, args, flagged, names = f.params
    f.leave_if(names.ne(0), "missed")
    result = f.call("gf.core", me.at(table_at), args, flagged & COUNT)
    f.leave_if(result.eq(MISS), "missed")
    f.give(result)
    f.block("missed")
    process = me.at(table_at).at(CALL["process"])
    f.call(process.at(PROCESS["incref"]), process.at(PROCESS["not_implemented"]))
    f.give(process.at(PROCESS["not_implemented"]))
    return f


def text(table_at: int) -> str:
    """LLVM text of `gf.call` and `gf.attempt`."""
    return DECLARATIONS + "\n".join(f.text() for f in (Core(), call_function(table_at), attempt_function(table_at)))
