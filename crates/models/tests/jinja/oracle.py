import json, sys
import jinja2, jinja2.sandbox, jinja2.ext

class Undefined(jinja2.Undefined):
    def __getattr__(self, name):
        if name == "name" or name.startswith("__"):
            raise AttributeError(name)
        return self
    def __getitem__(self, name):
        return self

environment = jinja2.sandbox.SandboxedEnvironment(
    extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"], undefined=Undefined)
environment.filters["as_text"] = str

def render(source):
    try:
        return environment.from_string(source).render()
    except Exception:
        return None

json.dump([render(source) for source in json.load(sys.stdin)], sys.stdout)
