"""Adds up a day of meter readings with DuckDB, by the rule of gateway/src/meters, and prints what
`merit settle add-up -o csv` prints. For days that one machine cannot hold: the same layout and the same
query run on any engine that reads Parquet (DuckDB here; Spark and Trino with their own window syntax).

usage: readings.py REGISTER.csv READINGS.parquet...   (pip install duckdb)
       readings.py --check MERIT                     generates a day with gaps, silent meters and corrections,
                                                     and compares with the program MERIT
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

BLOCKS = 96

QUERY = f"""
with register as (select * from read_csv(?, header = true, columns = {{
    'meter': 'bigint', 'portfolio': 'varchar', 'area': 'varchar', 'direction': 'varchar'}})),
-- Of one meter and block the greatest version counts, and of equal versions the later file.
reading as (
    select meter, block_15min as block, watt_hours as wh, quality
    from (select *, list_position(?, filename) as file from read_parquet(?, filename = true))
    qualify row_number() over (partition by meter, block_15min order by version desc, file desc) = 1),
read_meter as (select distinct meter from reading),
grid as (
    select register.*, block from register join read_meter using (meter), range(1, {BLOCKS} + 1) as g(block)),
joined as (select grid.*, wh, quality from grid left join reading using (meter, block)),
around as (
    select *,
        last_value(wh ignore nulls) over before as wh_before,
        last_value(case when wh is not null then block end ignore nulls) over before as block_before,
        first_value(wh ignore nulls) over behind as wh_after,
        first_value(case when wh is not null then block end ignore nulls) over behind as block_after
    from joined
    window before as (partition by meter order by block rows between unbounded preceding and current row),
        behind as (partition by meter order by block rows between current row and unbounded following)),
filled as (
    select *, case
        when wh is not null then wh
        when wh_before is null then wh_after
        when wh_after is null then wh_before
        else wh_before + sign(wh_after - wh_before)::bigint
            * (abs(wh_after - wh_before) * (block - block_before) // (block_after - block_before)) end as energy,
        wh is null or quality = 2 as estimated
    from around),
grp as (
    select portfolio, area, direction, block, sum(energy)::hugeint as energy, bool_or(estimated) as estimated
    from filled group by all),
counts as (
    select portfolio, area, direction, count(read_meter.meter) as read,
        count(*) - count(read_meter.meter) as silent
    from register left join read_meter using (meter) group by all)
select portfolio, area,
    sum((case direction when 'drawal' then -1 else 1 end) * (energy + energy * silent // read)) as net,
    sum(flag) as blocks_estimated
from (select *, (max((estimated or silent > 0)::int) over (partition by portfolio, area, block))
        / (count(*) over (partition by portfolio, area, block)) as flag
    from grp join counts using (portfolio, area, direction))
group by portfolio, area order by portfolio, area
"""


def sums(register: str, files: list[str]) -> str:
    rows = duckdb.execute(QUERY, [register, files, files]).fetchall()
    lines = ["portfolio,area,net_mwh,blocks_estimated"]
    for portfolio, area, net, estimated in rows:
        sign, size = "-" if net < 0 else "", abs(int(net))
        lines.append(f"{portfolio},{area},{sign}{size // 10**6}.{size % 10**6:06d},{round(estimated)}")
    return "\n".join(lines) + "\n"


def generate(directory: Path) -> tuple[str, list[str]]:
    """A day of 2,000 meters: 2 % of readings missing, 1 % of meters silent, 2 % of readings corrected later."""
    chance = random.Random(5)
    register, day = directory / "register.csv", directory / "day.csv"
    with register.open("w") as places, day.open("w") as readings:
        places.write("meter,portfolio,area,direction\n")
        readings.write("meter,block_15min,watt_hours,version,quality\n")
        for meter in range(1, 2_001):
            portfolio = meter % 17
            direction = "drawal" if meter // 17 % 3 else "injection"
            places.write(f"{meter},P{portfolio},{['N1', 'W2'][portfolio % 2]},{direction}\n")
            for block in range(1, BLOCKS + 1):
                if meter % 97 != 5 and chance.random() >= 0.02:
                    quality = 2 if chance.random() < 0.02 else 1
                    readings.write(f"{meter},{block},{chance.randrange(2_000)},1,{quality}\n")
    names = [str(directory / "first.parquet"), str(directory / "late.parquet")]
    duckdb.execute(f"create table t as select * from read_csv('{day}')")
    duckdb.execute(f"copy (select * from t order by meter, block_15min) to '{names[0]}' (format parquet)")
    late = "select * replace (watt_hours + 7 as watt_hours, 2 as version, 3 as quality) from t"
    late += " where (meter * 31 + block_15min) % 53 = 0 order by meter, block_15min"
    duckdb.execute(f"copy ({late}) to '{names[1]}' (format parquet)")
    return str(register), names


def check(program: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        register, files = generate(Path(directory))
        command = [program, "settle", "add-up", "--register", register, *files, "-o", "csv"]
        ours = subprocess.run(command, check=True, capture_output=True, text=True)
        if ours.stdout != sums(register, files):
            sys.exit("merit and DuckDB add up the same readings to different sums")
        print(ours.stderr.strip() + "; DuckDB agrees on every sum and flag")


def main() -> None:
    if sys.argv[1] == "--check":
        check(sys.argv[2])
    else:
        print(sums(sys.argv[1], sys.argv[2:]), end="")


if __name__ == "__main__":
    main()
