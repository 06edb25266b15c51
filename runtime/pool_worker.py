"""LLVM text: how a thread claims iterations, and what a worker does between jobs.

    int64 gf.worker(pool, int64 me)      serves until it is told to stop (0) or to let Python adapt the pool (1)
    void gf.ring(pool)                   wakes the workers that sleep

A thread has a range of a job's iterations, as one word: the first in the low half, the end in the high half.
It takes half of what is left of its own range at a time, and when that is empty a quarter of another's, from its
end.  So the same iterations stay on the same core from job to job, pieces get smaller towards the end, and nobody
waits for a thread that does not come.  A word that is not empty belongs to the present job, because a caller
returns only when all iterations are done; so a thread may act on a word it read long ago if a
compare-and-swap finds it unchanged.

A worker spins for a while after its last job if it holds the lock of its core, then sleeps without the lock.  A caller
that posts just then may take it to be awake: then the job is done without it.
"""

from __future__ import annotations

from graphflow.runtime.pool_layout import LINE, MASK, fields

PAUSES = 32  # between looks at the clock

CLAIM = f"""
; iterations done: of the range of `me`, at most `cap`, or else of another's
define internal i64 @gf.take(ptr %c, i64 %me, i64 %cap) #0 {{
entry:
{fields("threads", "range")}
  %threads = load atomic i64, ptr %threads.p monotonic, align 8
  br label %turn
turn:
  %q = phi i64 [ 0, %entry ], [ %q1, %empty ]
  %more = icmp slt i64 %q, %threads
  br i1 %more, label %choose, label %none
choose:
  %sum = add i64 %me, %q
  %wrap = icmp sge i64 %sum, %threads
  %less = sub i64 %sum, %threads
  %whose = select i1 %wrap, i64 %less, i64 %sum
  %offset = mul i64 %whose, {LINE}
  %share = getelementptr i64, ptr %range.p, i64 %offset
  br label %look
look:
  %word = load atomic i64, ptr %share acquire, align 8
  %lo = and i64 %word, 4294967295
  %hi = lshr i64 %word, 32
  %left = sub i64 %hi, %lo
  %some = icmp sgt i64 %left, 0
  br i1 %some, label %claim, label %empty
empty:
  %q1 = add i64 %q, 1
  br label %turn
claim:
  %own = icmp eq i64 %q, 0
  %left1 = add i64 %left, 1
  %half = lshr i64 %left1, 1
  %left3 = add i64 %left, 3
  %quarter = lshr i64 %left3, 2
  %part = select i1 %own, i64 %half, i64 %quarter
  %large = icmp sgt i64 %part, %cap
  %k = select i1 %large, i64 %cap, i64 %part
  %rest = sub i64 %hi, %k
  %high = shl i64 %rest, 32
  %front = add i64 %word, %k
  %back = or i64 %high, %lo
  %next = select i1 %own, i64 %front, i64 %back
  %swap = cmpxchg ptr %share, i64 %word, i64 %next acq_rel acquire
  %won = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %won, label %mine, label %look
mine:
{fields("share_fn", "share_args", "share_n", "share_unit", base="%share")}
  %fn = load ptr, ptr %share_fn.p, align 8
  %args = load ptr, ptr %share_args.p, align 8
  %n = load i64, ptr %share_n.p, align 8
  %unit = load i64, ptr %share_unit.p, align 8
  %start = select i1 %own, i64 %lo, i64 %rest
  %stop = add i64 %start, %k
  %begin = mul i64 %start, %unit
  %far = mul i64 %stop, %unit
  %over = icmp ugt i64 %far, %n
  %end = select i1 %over, i64 %n, i64 %far
  call void %fn(ptr %args, i64 %begin, i64 %end)
  ret i64 %k
none:
  ret i64 0
}}

; is there work in any range?
define internal i1 @gf.any(ptr %c) #0 {{
entry:
{fields("threads", "range")}
  %threads = load atomic i64, ptr %threads.p monotonic, align 8
  br label %loop
loop:
  %q = phi i64 [ 0, %entry ], [ %q1, %look ]
  %more = icmp slt i64 %q, %threads
  br i1 %more, label %look, label %none
look:
  %offset = mul i64 %q, {LINE}
  %share = getelementptr i64, ptr %range.p, i64 %offset
  %word = load atomic i64, ptr %share seq_cst, align 8
  %lo = and i64 %word, 4294967295
  %hi = lshr i64 %word, 32
  %full = icmp ugt i64 %hi, %lo
  %q1 = add i64 %q, 1
  br i1 %full, label %yes, label %loop
yes:
  ret i1 true
none:
  ret i1 false
}}
"""

WORKER = f"""
; after waking: lock the core of `me` and stay on it, else keep off the caller's; the lock held, -1 without one
define internal i64 @gf.settle_on_core(ptr %c, ptr %share, ptr %applied) #0 {{
entry:
{fields("epoch", "mask", "here")}
{fields("core", "lock", base="%share")}
  %cores = alloca [{MASK} x i64], align 8
  %epoch = load atomic i64, ptr %epoch.p acquire, align 8
  %lock = load i64, ptr %lock.p, align 8
  %has = icmp sge i64 %lock, 0
  br i1 %has, label %try, label %decide
try:
  %r = call i64 (i64, ...) @syscall(i64 FLOCK, i64 %lock, i64 6)
  %got = icmp eq i64 %r, 0
  br label %decide
decide:
  %held = phi i1 [ false, %entry ], [ %got, %try ]
  %kept = select i1 %held, i64 %lock, i64 -1
  %own = load i64, ptr %core.p, align 8
  %here = load i64, ptr %here.p, align 8
  %core = select i1 %held, i64 %own, i64 %here
  %flag = zext i1 %held to i64
  %high = shl i64 %epoch, 17
  %middle = shl i64 %core, 1
  %low = or i64 %middle, %flag
  %wanted = or i64 %high, %low
  %before = load i64, ptr %applied, align 8
  %same = icmp eq i64 %before, %wanted
  br i1 %same, label %end, label %move
move:
  store i64 %wanted, ptr %applied, align 8
  %index = lshr i64 %core, 6
  %place = and i64 %core, 63
  %bit = shl i64 1, %place
  %others = xor i64 %bit, -1
  br label %word
word:
  %i = phi i64 [ 0, %move ], [ %i1, %word ]
  %any = phi i64 [ 0, %move ], [ %any1, %word ]
  %from = getelementptr i64, ptr %mask.p, i64 %i
  %to = getelementptr i64, ptr %cores, i64 %i
  %allowed = load i64, ptr %from, align 8
  %at = icmp eq i64 %i, %index
  %only = select i1 %at, i64 %bit, i64 0
  %not = select i1 %at, i64 %others, i64 -1
  %without = and i64 %allowed, %not
  %cores1 = select i1 %held, i64 %only, i64 %without
  store i64 %cores1, ptr %to, align 8
  %any1 = or i64 %any, %cores1
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, {MASK}
  br i1 %more, label %word, label %apply
apply:
  %none = icmp eq i64 %any1, 0
  %target = select i1 %none, ptr %mask.p, ptr %cores
  %r2 = call i64 (i64, ...) @syscall(i64 SETAFFINITY, i64 0, i64 {8 * MASK}, ptr %target)
  br label %end
end:
  ret i64 %kept
}}

define i64 @gf.worker(ptr %c, i64 %me) #0 {{
entry:
{fields("done", "waiting", "bell", "sleepers", "stop", "stale", "threads", "spin", "range")}
  %offset = mul i64 %me, {LINE}
  %share = getelementptr i64, ptr %range.p, i64 %offset
  %applied = alloca i64, align 8
  store i64 -1, ptr %applied, align 8
  br label %awake
awake:
  %stop0 = load atomic i64, ptr %stop.p seq_cst, align 8
  %stale0 = load atomic i64, ptr %stale.p seq_cst, align 8
  %leave0 = or i64 %stop0, %stale0
  %leaving0 = icmp ne i64 %leave0, 0
  br i1 %leaving0, label %end, label %settle
settle:
  %held = call i64 @gf.settle_on_core(ptr %c, ptr %share, ptr %applied)
  %alone = icmp slt i64 %held, 0
  %most = load i64, ptr %spin.p, align 8
  %limit = select i1 %alone, i64 0, i64 %most
  br label %start
start:
  %threads = load atomic i64, ptr %threads.p acquire, align 8
  %called = icmp slt i64 %me, %threads
  br i1 %called, label %work, label %apart
work:
  %sum = phi i64 [ 0, %start ], [ %sum1, %did ]
  %k = call i64 @gf.take(ptr %c, i64 %me, i64 4294967295)
  %some = icmp ne i64 %k, 0
  br i1 %some, label %did, label %out
did:
  %sum1 = add i64 %sum, %k
  br label %work
out:
  %any = icmp ne i64 %sum, 0
  br i1 %any, label %report, label %rest
report:
  %before = atomicrmw add ptr %done.p, i64 %sum seq_cst
  %waiting = load atomic i64, ptr %waiting.p seq_cst, align 8
  %sleeps = icmp ne i64 %waiting, 0
  br i1 %sleeps, label %wake, label %rest
wake:
  %r0 = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %done.p, i64 129, i32 1, ptr null, ptr null, i64 0)
  br label %rest
rest:
  %t0 = call i64 @gf.ticks()
  br label %again
again:
  %t1 = call i64 @gf.ticks()
  %idle = sub i64 %t1, %t0
  %cold = icmp uge i64 %idle, %limit
  br i1 %cold, label %sleep, label %spin
spin:
  %j = phi i64 [ 0, %again ], [ %j1, %pause ]
  %word = load atomic i64, ptr %share acquire, align 8
  %lo = and i64 %word, 4294967295
  %hi = lshr i64 %word, 32
  %full = icmp ugt i64 %hi, %lo
  br i1 %full, label %start, label %pause
pause:
  PAUSE
  %j1 = add i64 %j, 1
  %on = icmp slt i64 %j1, {PAUSES}
  br i1 %on, label %spin, label %round
round:
  %others = call i1 @gf.any(ptr %c)
  br i1 %others, label %start, label %again
sleep:
  %bell1 = load atomic i64, ptr %bell.p seq_cst, align 8
  %s = atomicrmw add ptr %sleepers.p, i64 1 seq_cst
  %late = call i1 @gf.any(ptr %c)
  br i1 %late, label %start, label %free
free:
  call void @gf.unlock(i64 %held)
  br label %doze
apart:
  call void @gf.unlock(i64 %held)
  %bell2 = load atomic i64, ptr %bell.p seq_cst, align 8
  %threads2 = load atomic i64, ptr %threads.p seq_cst, align 8
  %called2 = icmp slt i64 %me, %threads2
  br i1 %called2, label %awake, label %doze
doze:
  %bell = phi i64 [ %bell1, %free ], [ %bell2, %apart ]
  %stop = load atomic i64, ptr %stop.p seq_cst, align 8
  %stale = load atomic i64, ptr %stale.p seq_cst, align 8
  %leave = or i64 %stop, %stale
  %leaving = icmp ne i64 %leave, 0
  br i1 %leaving, label %end, label %futex
futex:
  %bell32 = trunc i64 %bell to i32
  %r1 = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %bell.p, i64 128, i32 %bell32, ptr null, ptr null, i64 0)
  br label %awake
end:
  %reason = load atomic i64, ptr %stop.p seq_cst, align 8
  %stopped = icmp ne i64 %reason, 0
  %answer = select i1 %stopped, i64 0, i64 1
  ret i64 %answer
}}

define internal void @gf.unlock(i64 %lock) #0 {{
entry:
  %has = icmp sge i64 %lock, 0
  br i1 %has, label %unlock, label %end
unlock:
  %r = call i64 (i64, ...) @syscall(i64 FLOCK, i64 %lock, i64 8)
  br label %end
end:
  ret void
}}

; `sleepers` first: who counts itself after that sees the new bell, or is woken
define void @gf.ring(ptr %c) #0 {{
{fields("sleepers", "bell", "rings", "here")}
  %here = alloca [2 x i32], align 8
  store i64 0, ptr %here, align 8
  %g = call i64 (i64, ...) @syscall(i64 GETCPU, ptr %here, ptr null, ptr null)
  %core = load i64, ptr %here, align 8
  store i64 %core, ptr %here.p, align 8
  %s = atomicrmw xchg ptr %sleepers.p, i64 0 seq_cst
  %b = atomicrmw add ptr %bell.p, i64 1 seq_cst
  %r = atomicrmw add ptr %rings.p, i64 1 monotonic
  %w = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %bell.p, i64 129, i32 2147483647, ptr null, ptr null, i64 0)
  ret void
}}
"""
