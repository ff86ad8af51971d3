"""dbt-postgres: `debug` and `docs generate` of a project whose sources are the replicated tables."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROFILE = """
shop:
  target: millstream
  outputs:
    millstream:
      type: postgres
      host: "{PGHOST}"
      port: {PGPORT}
      user: {PGUSER}
      password: ""
      dbname: {PGDATABASE}
      schema: main
      threads: 4
"""

SOURCES = """
sources:
  - name: shop
    tables:
      - name: orders
      - name: orders_history
      - name: everything
  - name: odd
    schema: "Odd Names"
    quoting: {schema: true, identifier: true}
    tables:
      - name: Line Items
"""

FILES = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\nflags: {send_anonymous_usage_stats: false}\n",
    "models/sources.yml": SOURCES,
    "models/paid_by_customer.sql": "select customer, sum(amount) as total from {{ source('shop', 'orders') }} where paid group by customer\n",
}


def dbt(project, *arguments):
    command = [str(pathlib.Path(sys.executable).with_name("dbt")), *arguments]
    command += ["--project-dir", str(project), "--profiles-dir", str(project), "--no-use-colors"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr + log(project)
    return done.stdout


def log(project):
    """What it asked, for whoever looks why it failed."""
    path = project / "logs" / "dbt.log"
    return path.read_text() if path.exists() else ""


with tempfile.TemporaryDirectory() as directory:
    project = pathlib.Path(directory)
    for name, text in {**FILES, "profiles.yml": PROFILE.format(**os.environ)}.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(text)

    said = dbt(project, "debug")
    assert "Connection test: [OK connection ok]" in said, said

    dbt(project, "docs", "generate")
    catalog = json.loads((project / "target" / "catalog.json").read_text())
    assert not catalog["errors"], catalog["errors"]
    sources = catalog["sources"]
    assert set(sources) == {
        "source.shop.shop.orders",
        "source.shop.shop.orders_history",
        "source.shop.shop.everything",
        "source.shop.odd.Line Items",
    }, set(sources)
    orders = sources["source.shop.shop.orders"]
    assert orders["metadata"]["type"] == "BASE TABLE", orders["metadata"]
    assert orders["metadata"]["comment"].startswith("Copy of public.orders"), orders["metadata"]
    columns = {column["name"]: column["type"] for column in orders["columns"].values()}
    assert list(columns) == ["id", "customer", "amount", "placed", "paid"], columns
    assert columns["id"] == "integer" and columns["amount"] == "numeric(12,2)", columns
    assert columns["placed"] == "timestamp with time zone", columns
    assert sources["source.shop.shop.orders_history"]["metadata"]["type"] == "VIEW"
    model = catalog["nodes"]["model.shop.paid_by_customer"]
    assert model["metadata"]["type"] == "VIEW" and list(model["columns"]) == ["customer", "total"], model
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    compiled = manifest["nodes"]["model.shop.paid_by_customer"]["compiled_code"]
    assert '"shop"."shop"."orders"' in compiled, compiled

print("ok")
