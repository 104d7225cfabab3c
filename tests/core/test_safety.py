"""What rlgan never does, checked in its code: read a pickle, run text, open a port, start a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("rlgan", "envs", "policies", "launch", "benchmarks", "docs")
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle"}
SERVERS = {"http.server", "socketserver", "xmlrpc.server", "wsgiref", "flask", "aiohttp", "uvicorn"}
BUILTINS = {"eval", "exec", "__import__"}
CALLS = {
    "torch.load", "torch.jit.load", "torch.save", "numpy.fromregex", "pandas.read_pickle", "yaml.unsafe_load",
    "yaml.full_load", "yaml.load_all", "os.system", "os.popen", "runpy.run_path",
}  # fmt: skip
PORTS = {"bind", "listen", "create_server", "start_server", "serve_forever"}
SHORT = {"np": "numpy", "pd": "pandas"}


def dangers(source: str) -> Iterator[str]:
    """Names of what a file must not do; a method of one's own may be called eval or load."""
    tree = ast.parse(source)
    safe_loaders = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and [ast.unparse(base) for base in node.bases] == ["yaml.SafeLoader"]
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        yield from (name for name in names if name.split(".")[-1] in MODULES or name in MODULES | SERVERS)
        if isinstance(node, ast.Call):
            yield from _of_call(node, safe_loaders)


def _of_call(call: ast.Call, safe_loaders: set[str]) -> Iterator[str]:
    """What is wrong with one call."""
    name, keywords = ast.unparse(call.func), {one.arg: ast.unparse(one.value) for one in call.keywords}
    first, _, rest = name.partition(".")
    full = f"{SHORT.get(first, first)}.{rest}" if rest else first
    if name in BUILTINS or full in CALLS:
        yield name
    if rest.split(".")[-1] in PORTS:
        yield name
    if full == "yaml.load" and keywords.get("Loader") not in safe_loaders:
        yield name
    if full == "numpy.load" and keywords.get("allow_pickle") != "False":
        yield name
    if keywords.get("shell", "False") != "False" or keywords.get("weights_only", "True") != "True":
        yield name


@pytest.mark.parametrize(
    "line",
    [
        "import pickle", "import os, pickle", "from pickle import loads", "from ray import cloudpickle",
        "import ray.cloudpickle as pickle", "import dill", "import joblib", "import http.server",
        "from http.server import HTTPServer", "eval(text)", "exec(text)", "__import__(name)", "torch.load(path)",
        "np.load(path)", "numpy.load(path, allow_pickle=True)", "pd.read_pickle(path)", "yaml.load(text, Loader=Mine)",
        "yaml.unsafe_load(text)", "os.system(line)", "subprocess.run(line, shell=True)", "server.bind((host, 0))",
        "server.listen()", "asyncio.start_server(answer)",
    ],
)  # fmt: skip
def test_each_danger_is_seen(line: str) -> None:
    assert list(dangers(line))


@pytest.mark.parametrize(
    "line",
    [
        "net.eval()", "np.load(path, allow_pickle=False)", "yaml.safe_load(text)", "safetensors.torch.load(data)",
        "subprocess.run(words)", "socket.create_connection((host, 1))", "import socket",
        "class L(yaml.SafeLoader): ...\nyaml.load(text, Loader=L)",
    ],
)  # fmt: skip
def test_what_is_allowed(line: str) -> None:
    assert not list(dangers(line))


def test_the_code_does_none_of_it() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    if not (ROOT / "envs").is_dir():
        pytest.skip("the package was installed alone")
    assert len(files) > 150 and ROOT / "launch" / "main.py" in files
    found = {str(path.relative_to(ROOT)): list(dangers(path.read_text(encoding="utf-8"))) for path in files}
    assert not {path: names for path, names in found.items() if names}
