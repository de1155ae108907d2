"""Adds up a day of meter readings with DuckDB, by the rule of gateway/src/meters, and prints what
`merit settle add-up -o csv` prints. For days that one machine cannot hold: the same layout and the same
query run on any engine that reads Parquet (DuckDB here; Spark and Trino with their own window syntax).

usage: readings.py REGISTER.csv READINGS.parquet...   (pip install duckdb)
"""

import sys

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


def main() -> None:
    register, files = sys.argv[1], sys.argv[2:]
    rows = duckdb.execute(QUERY, [register, files, files]).fetchall()
    print("portfolio,area,net_mwh,blocks_estimated")
    for portfolio, area, net, estimated in rows:
        sign = "-" if net < 0 else ""
        print(f"{portfolio},{area},{sign}{abs(int(net)) // 10**6}.{abs(int(net)) % 10**6:06d},{round(estimated)}")


if __name__ == "__main__":
    main()
