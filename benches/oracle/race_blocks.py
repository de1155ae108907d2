#!/usr/bin/env python3
"""Block auctions with Merit and with HiGHS, one thread each: who is how far below the bound, and when.

usage: race_blocks.py GENERATOR ANYTIME ORACLE [--cache FILE] [--rows all|measured|WORDS,...] [--seeds 1,2]
                      [--side both|highs|merit] [--merit-seconds 10] [--total 300] [--solve 100]

GENERATOR and ANYTIME are the built examples `auction` and `anytime` of merit-benches; ORACLE is milp_oracle.py of the
shared tools: its models and prices are used, and its procedure: the welfare MILP, an LP over all feasible prices,
rejecting what loses most, solving again, until nobody loses (at most --solve seconds a solve, --total in all). Curves
are handed to HiGHS already aggregated by price. After every round its decisions are also made legal at once, by
rejecting everything that loses until nobody does; such a result counts for HiGHS at its own time, and the time it
takes is not charged to the procedure. So HiGHS has an answer wherever one can be had from its decisions. Both are
timed on the processor, so that a busy machine does not slow them; HiGHS with handing it the models (a second or
two of the long rows).

Gaps are per cent of the welfare that blocks add: (bound - welfare) / (bound - welfare of the curves alone), with the
least bound that either side proved. What HiGHS found is kept in FILE, so that its hours need not be repeated when only
Merit has changed. Needs Python 3.9+, numpy, highspy. Exit status 1 if Merit falls short somewhere.
"""
import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from decimal import Decimal

MEASURED = [
    "liquid 2 13 {seed} --blocks 500", "liquid 96 1 {seed} --blocks 4000", "liquid 24 13 {seed} --blocks 4000",
    "lumpy 24 1 {seed} --blocks 500", "lumpy 24 13 {seed} --blocks 100", "lumpy 2 13 {seed} --blocks 500",
    "lumpy 24 13 {seed} --blocks 500", "liquid 24 5 {seed} --blocks 500", "lumpy 96 13 {seed} --blocks 500",
    "liquid 96 13 {seed} --blocks 1000", "lumpy 96 13 {seed} --blocks 1000", "liquid 96 13 {seed} --blocks 2000",
    "liquid 96 13 {seed} --blocks 4000", "lumpy 96 13 {seed} --blocks 4000",
]
MIDDLE = [
    "lumpy 24 5 {seed} --blocks 250", "liquid 24 13 {seed} --blocks 1000", "lumpy 24 13 {seed} --blocks 1000",
    "liquid 96 5 {seed} --blocks 2000", "lumpy 96 5 {seed} --blocks 500",
]


def rows(which, seeds):
    """From short to long: what HiGHS decides soon comes first, for every seed, then the long ones seed by seed."""
    if which not in ("all", "measured"):
        return [row.strip() for row in which.split(",")]
    short, long = MEASURED[:7] + MIDDLE[:2] * (which == "all"), MEASURED[7:] + MIDDLE[2:] * (which == "all")
    ordered = [row.format(seed=seed) for row in short for seed in seeds]
    return ordered + [row.format(seed=seed) for seed in seeds for row in long]


def load_oracle(path):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("milp_oracle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Processor seconds inside HiGHS.
inside = 0.0


def limit_by_processor(highs):
    """Time limits count processor time: a solve that waits for a processor loses nothing."""
    run = highs.run

    def limited(self, *args):
        limit = self.getOptionValue("time_limit")[1]
        if limit < 1e6:
            self.setOptionValue("time_limit", 5.0 * limit)
            deadline = time.process_time() + limit

            def stop(event):
                if time.process_time() > deadline:
                    event.interrupt()

            self.cbMipInterrupt += stop
            self.cbSimplexInterrupt += stop
        global inside
        started = time.process_time()
        try:
            return run(self, *args)
        finally:
            inside += time.process_time() - started

    highs.run = limited


def aggregated(raw):
    """The same auction with one step curve per area, period and side. Linear curves stay."""
    points, others = defaultdict(lambda: defaultdict(Decimal)), []
    for curve in raw.get("curves", ()):
        if curve["shape"] != "step":
            others.append(curve)
            continue
        merged = points[curve["area"], curve["period"], curve["side"]]
        for price, quantity in curve["points"]:
            merged[price] += Decimal(str(quantity))
    curves = [
        {"id": f"all-{area}-{period}-{side}", "area": area, "period": period, "shape": "step", "side": side,
         "points": [[price, str(quantity)] for price, quantity in merged.items()]}
        for (area, period, side), merged in points.items()
    ]
    return {**raw, "curves": curves + others}


class Highs:
    """The oracle's procedure on one auction, with its times."""

    def __init__(self, oracle, raw, solve_seconds, total_seconds, now=time.process_time):
        self.now = now
        self.oracle, self.solve_seconds, self.total_seconds = oracle, solve_seconds, total_seconds
        self.auction = oracle.cr.Auction(aggregated(raw))
        self.model = oracle.Model(self.auction)
        self.kids = defaultdict(list)
        for block, order in self.auction.raw_blocks.items():
            if order.get("parent"):
                self.kids[order["parent"]].append(block)

    def own(self, fixed, y):
        """What each accepted order earns, as coefficients of prices and a constant."""
        a, m, cr = self.auction, self.model, self.oracle.cr
        sign = lambda side: 1 if side == "sell" else -1
        own = {}
        for k in fixed:
            if k in m.complex:
                x = a.complex[k]
                per = m.xsteps[k]
                coefs = [(m.row[x.area, t], sign(x.side) * sum(y[j] for j, _, _ in js)) for t, (js, _) in per.items()]
                paid = sign(x.side) * sum(y[j] * p for js, _ in per.values() for j, p, _ in js)
                own[k] = (coefs, -float(x.fixed) / m.unit - paid)
            else:
                b = a.raw_blocks[k]
                limit = cr.ticks(b["price"], a.price_tick, k)
                q = {int(t): cr.ticks(v, a.quantity_tick, k) * fixed[k] for t, v in b["quantity"].items()}
                s = sign(b["side"])
                own[k] = ([(m.row[b["area"], t], s * v) for t, v in q.items()], -s * limit * sum(q.values()))
        return own

    def losers(self, fixed):
        """Solves with decisions fixed; returns (welfare, what each family loses at the best prices)."""
        y, _, welfare, _ = self.model.solve(fixed=fixed)
        own = self.own(fixed, y)

        def tree(k):
            coefs, constant = list(own[k][0]), own[k][1]
            for child in self.kids[k]:
                if child in fixed:
                    c, v = tree(child)
                    coefs += c
                    constant += v
            return coefs, constant

        if not fixed:
            return welfare, {}
        _, loss = self.oracle.supporting_prices(
            self.auction, self.model, fixed, y, {k: tree(k) for k in fixed})
        return welfare, {k: v for k, v in loss.items() if v > 1e-4}

    def reject(self, fixed, losers):
        """The decisions without the losers and whatever hangs below them."""
        left = dict(fixed)
        queue = list(losers)
        while queue:
            k = queue.pop()
            left.pop(k, None)
            queue += [child for child in self.kids[k] if child in left]
        return left

    def run(self):
        found = {"rounds": [], "legal": []}
        forbidden, bound, aside = set(), None, 0.0
        started = self.now()
        clock = lambda: self.now() - started - aside
        while True:
            limit = max(1.0, min(self.solve_seconds, self.total_seconds - clock()))
            x, _, welfare, upper = self.model.solve(forbidden=forbidden, limit=limit)
            at = clock()
            if bound is None:
                bound = upper
                found["bound"], found["bound_seconds"], found["milp"] = bound, at, welfare
            # A solve that ran out of time may have found nothing.
            fixed = {b: min(1.0, round(float(x[j]), 6)) for b, j in self.model.block.items() if x[j] > 1e-6}
            fixed.update({k: 1.0 for k, j in self.model.complex.items() if x[j] > 0.5})
            priced, losers = self.losers(fixed)
            at = clock()
            found["rounds"].append({"seconds": at, "welfare": priced, "losers": len(losers)})
            if not losers:
                found["legal"].append({"seconds": at, "welfare": priced, "how": "procedure"})
                break
            if at > self.total_seconds:
                break
            forbidden.add(max(losers, key=lambda k: losers[k]))
            # Aside: legal at once.
            apart = self.now()
            while losers and self.now() - apart < 60.0:
                fixed = self.reject(fixed, losers)
                priced, losers = self.losers(fixed)
            took = self.now() - apart
            aside += took
            if not losers:
                found["legal"].append({"seconds": at + took, "welfare": priced, "how": "aside"})
        found["seconds"] = clock()
        return found


def merit_trace(anytime, row, seconds):
    out = subprocess.run([anytime, *row.split(), "--seconds", str(seconds), "--work", str(10**12)],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def at(trace, seconds):
    """Welfare and bound of the last line at or before a time."""
    before = [line for line in trace if line["seconds"] <= seconds]
    return (before[-1]["welfare"], before[-1]["bound"]) if before else (None, None)


def judge(row, highs, trace):
    """One line of the table, and what falls short."""
    done = trace[-1]
    first = trace[0]["seconds"]
    bounds = [done["bound"]] + ([highs["bound"]] if highs else [])
    bound, free = min(bounds), done["block_free"]
    per_cent = lambda w: None if w is None else 100.0 * (bound - w) / max(bound - free, 1)
    show = lambda w: "none" if w is None else f"{per_cent(w):.3f}"
    legal = sorted((it["seconds"], it["welfare"]) for it in highs["legal"]) if highs else []
    best = max(legal, key=lambda it: it[1], default=None)
    short = []
    if first > 1.0:
        short.append(f"legal only after {first:.2f} s")
    # After a tenth of the time at which HiGHS had anything legal, at least that welfare.
    worst = None
    for seconds, welfare in legal:
        mine = at(trace, seconds / 10)[0]
        behind = per_cent(mine) - per_cent(welfare) if mine is not None else 100.0
        worst = max(behind, worst) if worst is not None else behind
    if worst is not None and worst > 1e-6:
        short.append(f"{worst:.3f} behind after a tenth of the time")
    end = at(trace, 10.0)[0]
    if row.startswith("liquid") and end is not None and 100.0 * (done["bound"] - end) / max(done["bound"] - free, 1) > 0.1:
        short.append("more than 0.1 below the own bound at 10 s")
    if row.startswith("lumpy") and best and (end is None or end < best[1]):
        short.append("less than HiGHS' best")
    mip = f'{100.0 * (highs["bound"] - highs["milp"]) / max(highs["bound"] - free, 1):.3f} @ {highs["bound_seconds"]:.1f}' if highs else "–"
    theirs = f"{show(best[1])} @ {best[0]:.1f}" if best else ("none @ " + f'{highs["seconds"]:.0f}' if highs else "–")
    tenth = "–" if not best else f"{show(at(trace, best[0] / 10)[0])} @ {best[0] / 10:.2f}"
    own = 100.0 * (done["bound"] - done["welfare"]) / max(done["bound"] - free, 1)
    verified = "" if done["verified"] else " NOT VERIFIED"
    return (f'| {row} | {mip} | {theirs} | {show(at(trace, first)[0])} @ {first:.2f} | {show(at(trace, 1.0)[0])} | {tenth} | {show(end)} | '
            f'{own:.3f}{" optimal" if done["optimal"] else ""}{verified} | {done["memory_kb"] / 1024:.0f} | {"; ".join(short) or "holds"} |'), bool(short)


HEAD = """| auction | HiGHS MILP gap @ s | HiGHS legal @ s | Merit first @ s | at 1 s | at 1/10 of HiGHS | at 10 s | own bound's gap | MB | |
|---|---|---|---|---|---|---|---|---|---|"""


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("generator")
    ap.add_argument("anytime")
    ap.add_argument("oracle")
    ap.add_argument("--cache", default=None)
    ap.add_argument("--rows", default="all")
    ap.add_argument("--seeds", default="1,2")
    ap.add_argument("--side", default="both", choices=("both", "highs", "merit"))
    ap.add_argument("--merit-seconds", type=float, default=10.0)
    ap.add_argument("--total", type=float, default=300.0)
    ap.add_argument("--solve", type=float, default=100.0)
    a = ap.parse_args()
    cache = {}
    if a.cache and os.path.exists(a.cache):
        with open(a.cache) as f:
            cache = json.load(f)
    oracle = None
    if a.side != "merit":
        oracle = load_oracle(a.oracle)
        limit_by_processor(oracle.highspy.Highs)
    short = 0
    if a.side != "highs":
        print(HEAD, flush=True)
    for row in rows(a.rows, a.seeds.split(",")):
        if a.side != "merit" and row not in cache:
            text = subprocess.run([a.generator, *row.split()], stdout=subprocess.PIPE, check=True).stdout
            raw = json.loads(text, parse_float=Decimal, parse_int=lambda it: int(it))
            cache[row] = Highs(oracle, raw, a.solve, a.total).run()
            if a.cache:
                with open(a.cache + ".new", "w") as f:
                    json.dump(cache, f, indent=1)
                os.replace(a.cache + ".new", a.cache)
            if a.side == "highs":
                print(row, json.dumps(cache[row]), flush=True)
        if a.side != "highs":
            line, fails = judge(row, cache.get(row), merit_trace(a.anytime, row, a.merit_seconds))
            short += fails
            print(line, flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
