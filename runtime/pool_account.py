"""LLVM text: what threads bring, and so when jobs run alone.

Threads can make programs slower: others hold workers up in the middle of a piece, or cores exchange data slowly.  A
*round* is the time from one job to the next of the same kind, that is of a whole step if there is a loop, with all
that is done on one thread.  Now and then a few rounds are run alone (a trial), and rounds on all threads are
compared with those.  Until there was a trial, the time alone is judged by the iterations that the caller did itself.
Gains are credit.  When credit is used up, jobs run alone for PENALTY times what was lost, twice as long if that
comes again soon: so little can be lost in all.

`clock` counts the time in jobs and, up to a limit each, between them.  `alones` numbers the periods in which jobs run
alone; a kind's `when` is such a number, and in its low two bits how often the kind has begun in that period, 0 for the
shared time after it.
"""

from __future__ import annotations

from graphflow.runtime.pool_layout import JOB, JOBS, fields

PENALTY, STRIKES = 16, 5  # times the loss; doubled that often
TRIAL, BEFORE, BETWEEN = 4, 50, 500  # rounds of a trial; rounds before the first one, and before the next

ACCOUNT = f"""
; the clock goes on to the beginning of a job; is it to run alone?
define internal i1 @gf.begin(ptr %c, i64 %t0) #0 {{
{fields("clock", "last_end", "most_gap", "alone_until", "most_alone", "trial_left")}
  %clock0 = load i64, ptr %clock.p, align 8
  %last = load i64, ptr %last_end.p, align 8
  %most_gap = load i64, ptr %most_gap.p, align 8
  %between = sub i64 %t0, %last
  %long = icmp ugt i64 %between, %most_gap
  %gap = select i1 %long, i64 %most_gap, i64 %between
  %clock = add i64 %clock0, %gap
  store i64 %clock, ptr %clock.p, align 8
  %until = load i64, ptr %alone_until.p, align 8
  %most_alone = load i64, ptr %most_alone.p, align 8
  %ahead = sub i64 %until, %t0
  %retired = icmp ule i64 %ahead, %most_alone
  %left = load i64, ptr %trial_left.p, align 8
  %trial = icmp sgt i64 %left, 0
  %alone = or i1 %retired, %trial
  ret i1 %alone
}}

; the clock goes on to the end of a job; what the job took
define internal i64 @gf.finish(ptr %c, i64 %t0) #0 {{
{fields("clock", "last_end")}
  %now = call i64 @gf.ticks()
  store i64 %now, ptr %last_end.p, align 8
  %took = sub i64 %now, %t0
  %clock0 = load i64, ptr %clock.p, align 8
  %clock = add i64 %clock0, %took
  store i64 %clock, ptr %clock.p, align 8
  ret i64 %took
}}

define internal ptr @gf.job(ptr %c, ptr %fn) #0 {{
{fields("fn")}
  %name = ptrtoint ptr %fn to i64
  %name4 = lshr i64 %name, 4
  %name10 = lshr i64 %name, 10
  %mixed = xor i64 %name4, %name10
  %index = and i64 %mixed, {JOBS - 1}
  %at = mul i64 %index, {JOB}
  %job = getelementptr i64, ptr %fn.p, i64 %at
  ret ptr %job
}}

; a job begins: the round that ends here if all of it was shared, else 0; rounds alone are averaged,
; but for the first one of a period: data was still on other cores
define internal i64 @gf.round(ptr %c, ptr %fn, i1 %alone) #0 {{
entry:
{fields("clock", "alones")}
  %job = call ptr @gf.job(ptr %c, ptr %fn)
{fields("start", "alone_time", "when", base="%job")}
  %clock = load i64, ptr %clock.p, align 8
  %alones = load i64, ptr %alones.p, align 8
  %shared_now = shl i64 %alones, 2
  %fn0 = load ptr, ptr %job, align 8
  %same = icmp eq ptr %fn0, %fn
  br i1 %same, label %old, label %new
new:
  store ptr %fn, ptr %job, align 8
  store double 0.0, ptr %alone_time.p, align 8
  br label %judge
old:
  %when0 = load i64, ptr %when.p, align 8
  br label %judge
judge:
  %when = phi i64 [ -4, %new ], [ %when0, %old ]
  %number = ashr i64 %when, 2
  %this = icmp eq i64 %number, %alones
  %low = and i64 %when, 3
  %times = select i1 %this, i64 %low, i64 0
  %again = add i64 %times, 1
  %many = icmp ugt i64 %again, 3
  %count = select i1 %many, i64 3, i64 %again
  %counted = select i1 %alone, i64 %count, i64 0
  %when1 = or i64 %shared_now, %counted
  store i64 %when1, ptr %when.p, align 8
  %start = load i64, ptr %start.p, align 8
  store i64 %clock, ptr %start.p, align 8
  %round = sub i64 %clock, %start
  br i1 %alone, label %learn, label %whole
whole:
  %all = icmp eq i64 %when, %shared_now
  %known = select i1 %all, i64 %round, i64 0
  ret i64 %known
learn:
  %time = load double, ptr %alone_time.p, align 8
  %first = fcmp oeq double %time, 0.0
  %typical = icmp uge i64 %times, 2
  %any = icmp uge i64 %times, 1
  %start_with = and i1 %first, %any
  %use = or i1 %typical, %start_with
  br i1 %use, label %average, label %end
average:
  %round.d = sitofp i64 %round to double
  %difference = fsub double %round.d, %time
  %part = fmul double %difference, 0.25
  %moved = fadd double %time, %part
  %mean = select i1 %first, double %round.d, double %moved
  store double %mean, ptr %alone_time.p, align 8
  br label %end
end:
  ret i64 0
}}

; one kind of job, the anchor, stands for all of a round; another one if it does not come any more
define internal void @gf.follow(ptr %c, ptr %fn, i1 %alone) #0 {{
entry:
{fields("jobs", "anchor", "anchor_jobs", "anchor_size", "trial_left", "rounds")}
  %jobs0 = load i64, ptr %jobs.p, align 8
  %jobs = add i64 %jobs0, 1
  store i64 %jobs, ptr %jobs.p, align 8
  %anchor = load ptr, ptr %anchor.p, align 8
  %seen = load i64, ptr %anchor_jobs.p, align 8
  %since = sub i64 %jobs, %seen
  %same = icmp eq ptr %anchor, %fn
  br i1 %same, label %again, label %other
again:
  store i64 %jobs, ptr %anchor_jobs.p, align 8
  store i64 %since, ptr %anchor_size.p, align 8
  %left = load i64, ptr %trial_left.p, align 8
  %some = icmp sgt i64 %left, 0
  %step = and i1 %some, %alone
  %one = zext i1 %step to i64
  %left1 = sub i64 %left, %one
  store i64 %left1, ptr %trial_left.p, align 8
  ret void
other:
  %size = load i64, ptr %anchor_size.p, align 8
  %few = shl i64 %size, 2
  %most = add i64 %few, 8
  %lost = icmp sgt i64 %since, %most
  br i1 %lost, label %anew, label %end
anew:
  store ptr %fn, ptr %anchor.p, align 8
  store i64 %jobs, ptr %anchor_jobs.p, align 8
  store i64 0, ptr %trial_left.p, align 8
  store i64 0, ptr %rounds.p, align 8
  ret void
end:
  ret void
}}

; what a shared job brought, and after many rounds a trial
define internal void @gf.account(ptr %c, ptr %fn, i64 %round, double %guess, i64 %now) #0 {{
entry:
{fields("anchor", "trial_left", "rounds", "alones", "trials")}
  %anchor = load ptr, ptr %anchor.p, align 8
  %job = call ptr @gf.job(ptr %c, ptr %anchor)
{fields("alone_time", base="%job")}
  %alone = load double, ptr %alone_time.p, align 8
  %unknown = fcmp oeq double %alone, 0.0
  %same = icmp eq ptr %anchor, %fn
  %whole = icmp ne i64 %round, 0
  %ends = and i1 %same, %whole
  %round.d = sitofp i64 %round to double
  %saved = fsub double %alone, %round.d
  %known = select i1 %ends, double %saved, double 0.0
  %gain = select i1 %unknown, double %guess, double %known
  call void @gf.credit(ptr %c, double %gain, i64 %now)
  br i1 %ends, label %count, label %end
count:
  %rounds0 = load i64, ptr %rounds.p, align 8
  %rounds = add i64 %rounds0, 1
  %enough = select i1 %unknown, i64 {BEFORE}, i64 {BETWEEN}
  %due = icmp sge i64 %rounds, %enough
  %rounds1 = select i1 %due, i64 0, i64 %rounds
  store i64 %rounds1, ptr %rounds.p, align 8
  br i1 %due, label %trial, label %end
trial:
  store i64 {TRIAL}, ptr %trial_left.p, align 8
  %alones = load i64, ptr %alones.p, align 8
  %alones1 = add i64 %alones, 1
  store i64 %alones1, ptr %alones.p, align 8
  %trials = load i64, ptr %trials.p, align 8
  %trials1 = add i64 %trials, 1
  store i64 %trials1, ptr %trials.p, align 8
  br label %end
end:
  ret void
}}

define internal void @gf.credit(ptr %c, double %gain, i64 %now) #0 {{
entry:
{fields("credit", "strikes", "grace", "most_credit", "most_alone", "alone_until", "alones", "debts")}
  %credit = load double, ptr %credit.p, align 8
  %sum = fadd double %credit, %gain
  %most = load i64, ptr %most_credit.p, align 8
  %most.d = sitofp i64 %most to double
  %rich = fcmp ogt double %sum, %most.d
  br i1 %rich, label %full, label %part
full:
  store double %most.d, ptr %credit.p, align 8
  store i64 0, ptr %strikes.p, align 8
  ret void
part:
  store double %sum, ptr %credit.p, align 8
  %debt = fcmp olt double %sum, 0.0
  br i1 %debt, label %retire, label %end
retire:
  %strikes = load i64, ptr %strikes.p, align 8
  %factor = shl i64 {PENALTY}, %strikes
  %factor.d = sitofp i64 %factor to double
  %out = icmp sge i64 %strikes, {STRIKES}
  %strike = add i64 %strikes, 1
  %strikes1 = select i1 %out, i64 %strikes, i64 %strike
  store i64 %strikes1, ptr %strikes.p, align 8
  %grace = load i64, ptr %grace.p, align 8
  %grace.d = sitofp i64 %grace to double
  store double %grace.d, ptr %credit.p, align 8
  %loss = fsub double %grace.d, %sum
  %huge = fcmp ogt double %loss, %most.d
  %lost = select i1 %huge, double %most.d, double %loss
  %long = fmul double %lost, %factor.d
  %limit = load i64, ptr %most_alone.p, align 8
  %limit.d = sitofp i64 %limit to double
  %over = fcmp ogt double %long, %limit.d
  %short = select i1 %over, double %limit.d, double %long
  %ticks = fptosi double %short to i64
  %until = add i64 %now, %ticks
  store i64 %until, ptr %alone_until.p, align 8
  %alones = load i64, ptr %alones.p, align 8
  %alones1 = add i64 %alones, 1
  store i64 %alones1, ptr %alones.p, align 8
  %debts = load i64, ptr %debts.p, align 8
  %debts1 = add i64 %debts, 1
  store i64 %debts1, ptr %debts.p, align 8
  br label %end
end:
  ret void
}}
"""
