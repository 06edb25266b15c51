"""LLVM text: what the caller of a job does, and when it does it alone.

    void gf.run(pool, void (*fn)(void *args, int64 lo, int64 hi), void *args, int64 n)      what a gf_parallel holds

A caller posts a range for each thread, claims as the workers do, and takes what nobody took; then it waits for what
others have begun: it spins, then sleeps.  Workers that sleep are woken by a job that is long enough, judged by its
first iterations, or that comes with many short ones.  A job that is posted while another one runs, or after
the affinity mask has changed, is done by its caller alone.  Processes whose cores are the same share them: each uses
the cores divided by the number of processes that had jobs lately.
"""

from __future__ import annotations

from graphflow.runtime.pool_layout import LINE, MASK, PROCESSES, fields
from graphflow.runtime.pool_worker import PAUSES

CALLER = f"""
; has the affinity mask of this thread changed?  Then jobs run alone until the pool is adapted
define internal void @gf.look_at_mask(ptr %c) #0 {{
entry:
{fields("mask", "mask_now", "stale")}
  %size = call i64 (i64, ...) @syscall(i64 GETAFFINITY, i64 0, i64 {8 * MASK}, ptr %mask_now.p)
  %known = icmp sgt i64 %size, 0
  br i1 %known, label %compare, label %end
compare:
  %i = phi i64 [ 0, %entry ], [ %i1, %equal ]
  %p = getelementptr i8, ptr %mask.p, i64 %i
  %q = getelementptr i8, ptr %mask_now.p, i64 %i
  %a = load i64, ptr %p, align 8
  %b = load i64, ptr %q, align 8
  %same = icmp eq i64 %a, %b
  br i1 %same, label %equal, label %differs
equal:
  %i1 = add i64 %i, 8
  %more = icmp slt i64 %i1, %size
  br i1 %more, label %compare, label %end
differs:
  store atomic i64 1, ptr %stale.p seq_cst, align 8
  call void @gf.ring(ptr %c)
  br label %end
end:
  ret void
}}

; let other processes see this one, and count those that are active on its cores
define internal void @gf.look_around(ptr %c, i64 %t0) #0 {{
entry:
{fields("presence", "entry", "pid", "mask", "cores", "allowed", "active")}
  %table = load ptr, ptr %presence.p, align 8
  %none = icmp eq ptr %table, null
  br i1 %none, label %end, label %begin
begin:
  %pid = load i64, ptr %pid.p, align 8
  %active = load i64, ptr %active.p, align 8
  %window = shl i64 %active, 1
  %mine0 = load i64, ptr %entry.p, align 8
  br label %word
word:
  %w = phi i64 [ 0, %begin ], [ %w1, %word ]
  %mask0 = phi i64 [ 0, %begin ], [ %mask, %word ]
  %word.p = getelementptr i64, ptr %mask.p, i64 %w
  %cores64 = load i64, ptr %word.p, align 8
  %mask = or i64 %mask0, %cores64
  %w1 = add i64 %w, 1
  %more_words = icmp slt i64 %w1, {MASK}
  br i1 %more_words, label %word, label %look
look:
  %i = phi i64 [ 0, %word ], [ %i1, %next ]
  %free = phi i64 [ -1, %word ], [ %free1, %next ]
  %others = phi i64 [ 0, %word ], [ %others1, %next ]
  %offset = mul i64 %i, {LINE}
  %owner.p = getelementptr i64, ptr %table, i64 %offset
  %time.p = getelementptr i64, ptr %owner.p, i64 1
  %theirs.p = getelementptr i64, ptr %owner.p, i64 2
  %owner = load atomic i64, ptr %owner.p monotonic, align 8
  %time = load atomic i64, ptr %time.p monotonic, align 8
  %theirs = load atomic i64, ptr %theirs.p monotonic, align 8
  %age = sub i64 %t0, %time
  %shifted = add i64 %age, %active
  %fresh = icmp ule i64 %shifted, %window
  %self = icmp eq i64 %owner, %pid
  %stranger = xor i1 %self, true
  %common = and i64 %theirs, %mask
  %meets = icmp ne i64 %common, 0
  %rival0 = and i1 %fresh, %stranger
  %rival = and i1 %rival0, %meets
  %one = zext i1 %rival to i64
  %others1 = add i64 %others, %one
  %old = xor i1 %fresh, true
  %usable = or i1 %self, %old
  %preferred = icmp eq i64 %i, %mine0
  %had = icmp sge i64 %free, 0
  %keep0 = xor i1 %preferred, true
  %keep = and i1 %had, %keep0
  %candidate = select i1 %usable, i64 %i, i64 %free
  %free1 = select i1 %keep, i64 %free, i64 %candidate
  br label %next
next:
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, {PROCESSES}
  br i1 %more, label %look, label %found
found:
  %somewhere = icmp sge i64 %free1, 0
  br i1 %somewhere, label %sign, label %divide
sign:
  store i64 %free1, ptr %entry.p, align 8
  %offset2 = mul i64 %free1, {LINE}
  %line = getelementptr i64, ptr %table, i64 %offset2
  %line1 = getelementptr i64, ptr %line, i64 1
  %line2 = getelementptr i64, ptr %line, i64 2
  store atomic i64 %mask, ptr %line2 monotonic, align 8
  store atomic i64 %t0, ptr %line1 monotonic, align 8
  store atomic i64 %pid, ptr %line monotonic, align 8
  br label %divide
divide:
  %cores = load i64, ptr %cores.p, align 8
  %processes = add i64 %others1, 1
  %part = udiv i64 %cores, %processes
  store i64 %part, ptr %allowed.p, align 8
  br label %end
end:
  ret void
}}

; all shares are written before the first range is: who finds one may read any share of the job
define internal void @gf.post(ptr %c, ptr %fn, ptr %args, i64 %n, i64 %unit, i64 %units, i64 %threads) #0 {{
entry:
{fields("range")}
  br label %fill
fill:
  %p = phi i64 [ 0, %entry ], [ %p1, %fill ]
  %offset = mul i64 %p, {LINE}
  %share = getelementptr i64, ptr %range.p, i64 %offset
{fields("share_fn", "share_args", "share_n", "share_unit", base="%share")}
  store ptr %fn, ptr %share_fn.p, align 8
  store ptr %args, ptr %share_args.p, align 8
  store i64 %n, ptr %share_n.p, align 8
  store i64 %unit, ptr %share_unit.p, align 8
  %p1 = add i64 %p, 1
  %more = icmp slt i64 %p1, %threads
  br i1 %more, label %fill, label %open
open:
  %q = phi i64 [ %threads, %fill ], [ %q1, %open ]
  %hi = phi i64 [ %units, %fill ], [ %lo, %open ]
  %q1 = sub i64 %q, 1
  %product = mul i64 %units, %q1
  %lo = udiv i64 %product, %threads
  %high = shl i64 %hi, 32
  %word = or i64 %high, %lo
  %offset2 = mul i64 %q1, {LINE}
  %share2 = getelementptr i64, ptr %range.p, i64 %offset2
  store atomic i64 %word, ptr %share2 release, align 8
  %more2 = icmp sgt i64 %q1, 0
  br i1 %more2, label %open, label %end
end:
  ret void
}}

; the caller's part of a shared job, until all of it is done; then what it brought
define internal void @gf.share(ptr %c, ptr %fn, ptr %args, i64 %n, i64 %threads, i64 %round, i64 %t0) #0 {{
entry:
{fields("seen", "owed", "last_end", "done", "waiting", "sleepers", "wake", "patience", "shared")}
  %last = load i64, ptr %last_end.p, align 8
  %owed = load i64, ptr %owed.p, align 8
  %gap = sub i64 %t0, %last
  %paid = lshr i64 %gap, 2
  %some_owed = icmp ugt i64 %owed, %paid
  %less = sub i64 %owed, %paid
  %before = select i1 %some_owed, i64 %less, i64 0
  %parts = lshr i64 %n, 30
  %unit = add i64 %parts, 1
  %up = add i64 %n, %parts
  %units = udiv i64 %up, %unit
  call void @gf.post(ptr %c, ptr %fn, ptr %args, i64 %n, i64 %unit, i64 %units, i64 %threads)
  %seen = load i64, ptr %seen.p, align 8
  %total = add i64 %seen, %units
  %asleep0 = load atomic i64, ptr %sleepers.p monotonic, align 8
  %probe = icmp sgt i64 %asleep0, 0
  %sample = lshr i64 %units, 6
  %sample1 = add i64 %sample, 1
  %cap0 = select i1 %probe, i64 %sample1, i64 4294967295
  br label %work
work:
  %mine = phi i64 [ 0, %entry ], [ %mine1, %did ], [ %mine1, %judge ], [ %mine1, %call ], [ %mine, %late ]
  %cap = phi i64 [ %cap0, %entry ], [ 4294967295, %did ], [ 4294967295, %judge ], [ 4294967295, %call ], [ 4294967295, %late ]
  %k = call i64 @gf.take(ptr %c, i64 0, i64 %cap)
  %got = icmp ne i64 %k, 0
  br i1 %got, label %did, label %out
did:
  %mine1 = add i64 %mine, %k
  %asleep = load atomic i64, ptr %sleepers.p monotonic, align 8
  %someone = icmp sgt i64 %asleep, 0
  br i1 %someone, label %judge, label %work
judge:
  %tn = call i64 @gf.ticks()
  %spent = sub i64 %tn, %t0
  %scaled = mul i64 %spent, %units
  %whole = udiv i64 %scaled, %mine1
  %demand = add i64 %whole, %before
  %wake = load i64, ptr %wake.p, align 8
  %worth = icmp ugt i64 %demand, %wake
  %open = icmp slt i64 %mine1, %units
  %ring = and i1 %worth, %open
  br i1 %ring, label %call, label %work
call:
  call void @gf.ring(ptr %c)
  br label %work
out:
  %t1 = call i64 @gf.ticks()
  %busy = sub i64 %t1, %t0
  %goal = sub i64 %total, %mine
  %patience = load i64, ptr %patience.p, align 8
  %eighth = lshr i64 %busy, 3
  %long = add i64 %patience, %eighth
  br label %again
again:
  br label %join
join:
  %i = phi i64 [ 0, %again ], [ %i1, %pause ]
  %done = load atomic i64, ptr %done.p acquire, align 8
  %all = icmp eq i64 %done, %goal
  br i1 %all, label %end, label %pause
pause:
  PAUSE
  %i1 = add i64 %i, 1
  %on = icmp slt i64 %i1, {PAUSES}
  br i1 %on, label %join, label %late
late:
  %left = call i1 @gf.any(ptr %c)
  br i1 %left, label %work, label %wait
wait:
  %tw = call i64 @gf.ticks()
  %waited = sub i64 %tw, %t1
  %enough = icmp ugt i64 %waited, %long
  br i1 %enough, label %sleep, label %again
sleep:
  store atomic i64 1, ptr %waiting.p seq_cst, align 8
  %done2 = load atomic i64, ptr %done.p seq_cst, align 8
  %all2 = icmp eq i64 %done2, %goal
  br i1 %all2, label %awake, label %futex
futex:
  %done32 = trunc i64 %done2 to i32
  %r = call i64 (i64, ...) @syscall(i64 FUTEX, ptr %done.p, i64 128, i32 %done32, ptr null, ptr null, i64 0)
  br label %awake
awake:
  store atomic i64 0, ptr %waiting.p seq_cst, align 8
  br label %again
end:
  store i64 %goal, ptr %seen.p, align 8
  %took1 = call i64 @gf.finish(ptr %c, i64 %t0)
  %asleep2 = load atomic i64, ptr %sleepers.p monotonic, align 8
  %dozing = icmp sgt i64 %asleep2, 0
  %more_owed = add i64 %before, %took1
  %owed2 = select i1 %dozing, i64 %more_owed, i64 0
  store i64 %owed2, ptr %owed.p, align 8
  %shared = load i64, ptr %shared.p, align 8
  %shared1 = add i64 %shared, 1
  store i64 %shared1, ptr %shared.p, align 8
  %idle = icmp eq i64 %mine, 0
  %busy.d = sitofp i64 %busy to double
  %units.d = sitofp i64 %units to double
  %mine.d = sitofp i64 %mine to double
  %took.d = sitofp i64 %took1 to double
  %rate = fdiv double %busy.d, %mine.d
  %alone.d = fmul double %rate, %units.d
  %saved = fsub double %alone.d, %took.d
  %guess = select i1 %idle, double 0.0, double %saved
  call void @gf.account(ptr %c, ptr %fn, i64 %round, double %guess, i64 %t0)
  ret void
}}

define void @gf.run(ptr %c, ptr %fn, ptr %args, i64 %n) #0 {{
entry:
  %swap = cmpxchg ptr %c, i64 0, i64 1 acq_rel acquire
  %free = extractvalue {{ i64, i1 }} %swap, 1
  br i1 %free, label %owner, label %other
other:
  call void %fn(ptr %args, i64 0, i64 %n)
  ret void
owner:
{fields("checked", "looked", "look", "allowed", "stale", "threads", "wanted", "period")}
  %t0 = call i64 @gf.ticks()
  %checked = load i64, ptr %checked.p, align 8
  %period = load i64, ptr %period.p, align 8
  %age = sub i64 %t0, %checked
  %old = icmp ugt i64 %age, %period
  br i1 %old, label %check, label %neighbours
check:
  store i64 %t0, ptr %checked.p, align 8
  call void @gf.look_at_mask(ptr %c)
  br label %neighbours
neighbours:
  %looked = load i64, ptr %looked.p, align 8
  %look = load i64, ptr %look.p, align 8
  %since = sub i64 %t0, %looked
  %late = icmp ugt i64 %since, %look
  br i1 %late, label %around, label %count
around:
  store i64 %t0, ptr %looked.p, align 8
  call void @gf.look_around(ptr %c, i64 %t0)
  br label %count
count:
  %chosen = load atomic i64, ptr %wanted.p acquire, align 8
  %allowed = load i64, ptr %allowed.p, align 8
  %crowded = icmp slt i64 %allowed, %chosen
  %wanted = select i1 %crowded, i64 %allowed, i64 %chosen
  %threads = load i64, ptr %threads.p, align 8
  %resized = icmp ne i64 %wanted, %threads
  br i1 %resized, label %resize, label %fit
resize:
  store atomic i64 %wanted, ptr %threads.p seq_cst, align 8
  call void @gf.ring(ptr %c)
  br label %fit
fit:
  %stale = load atomic i64, ptr %stale.p monotonic, align 8
  %odd = icmp ne i64 %stale, 0
  %single = icmp slt i64 %wanted, 2
  %unfit = or i1 %odd, %single
  br i1 %unfit, label %leave, label %decide
leave:
  store atomic i64 0, ptr %c release, align 8
  br label %other
decide:
  %alone = call i1 @gf.begin(ptr %c, i64 %t0)
  call void @gf.follow(ptr %c, ptr %fn, i1 %alone)
  %round = call i64 @gf.round(ptr %c, ptr %fn, i1 %alone)
  br i1 %alone, label %single_handed, label %together
single_handed:
  call void %fn(ptr %args, i64 0, i64 %n)
  %took = call i64 @gf.finish(ptr %c, i64 %t0)
  br label %end
together:
  call void @gf.share(ptr %c, ptr %fn, ptr %args, i64 %n, i64 %wanted, i64 %round, i64 %t0)
  br label %end
end:
  store atomic i64 0, ptr %c release, align 8
  ret void
}}
"""
