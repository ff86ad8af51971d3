"""Runs dbt in one process: reads {project, runs: [[argument, …], …]}, prints what each run gave and the manifest."""
import contextlib, io, json, os, sys

os.environ["DBT_SEND_ANONYMOUS_USAGE_STATS"] = "false"
from dbt.cli.main import dbtRunner

job = json.load(sys.stdin)
os.chdir(job["project"])
out = sys.stdout
answers = []
manifest = None
with contextlib.redirect_stdout(io.StringIO()):
    parsed = dbtRunner().invoke(["--quiet", "parse", "--no-partial-parse"] + job.get("flags", []))
    failed = None if parsed.success else str(parsed.exception)
    for arguments in job["runs"]:
        if failed:
            break
        runner = dbtRunner(manifest=parsed.result)
        result = runner.invoke(["--quiet"] + arguments + job.get("flags", []))
        answers.append(list(result.result) if result.success and result.result is not None else None)
    if not failed:
        manifest = json.load(open("target/manifest.json"))
json.dump({"failed": failed, "answers": answers, "manifest": manifest}, out)
