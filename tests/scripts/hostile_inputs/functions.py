"""Functions given to an audit as a generator: that raise, leave, hang, or return something else."""

from __future__ import annotations

from collections.abc import Iterator

from hostile_inputs.record import Input, command, python
from hostile_inputs.things import arrays, both, written

RETURNS = {
    "nothing": "None",
    "text": "'samples'",
    "a generator": "(row for row in range(n))",
    "an endless generator": "iter(int, 1)",
    "a dictionary": "{'samples': np.zeros((n, 2))}",
    "a set": "{1, 2}",
    "a scalar": "np.float64(3)",
    "no rows": "np.zeros((0, 2))",
    "too few rows": "np.zeros((n - 1, 2))",
    "three columns": "np.zeros((n, 3))",
    "no columns": "np.zeros((n, 0))",
    "NaN": "np.full((n, 2), np.nan)",
    "infinity": "torch.full((n, 2), float('inf'))",
    "objects": "np.array([[None, {}]] * n)",
    "words": "np.full((n, 2), 'a')",
    "complex": "np.ones((n, 2), complex)",
    "complex tensors": "torch.ones(n, 2, dtype=torch.complex64)",
    "dates": "np.full((n, 2), np.datetime64('2020-01-01'))",
    "sparse": "torch.eye(n, 2).to_sparse()",
    "sparse by rows": "torch.eye(n, 2).to_sparse_csr()",
    "quantised": "torch.quantize_per_tensor(torch.randn(n, 2), 0.1, 0, torch.qint8)",
    "meta": "torch.empty(n, 2, device='meta')",
    "nested": "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])",
    "rows of different lengths": "[[1.0], [1.0, 2.0]] * n",
    "a list of tensors of different shapes": "[torch.ones(2), torch.ones(3)] * n",
    "uint8 rows": "np.ones((n, 2), np.uint8)",
    "a class": "object",
    "itself": "sample",
    "a module": "np",
    "numbers beyond float32": "np.full((n, 2), 1e300)",
    "five axes": "np.zeros((n, 1, 1, 1, 1))",
    "a broadcast of 1e12 rows": "np.broadcast_to(np.zeros((1, 2)), (10**12, 2))",
    "a string array of numbers": "np.full((n, 2), '1.0')",
    "masked rows": "np.ma.masked_array(np.random.normal(size=(n, 2)), mask=np.arange(2 * n).reshape(n, 2) % 3 == 0)",
}
"""What cannot be audited, as Python of the count `n`."""

TAKEN = {
    "float8": "torch.randn(n, 2).to(torch.float8_e4m3fn)",
    "half": "torch.randn(n, 2).half()",
    "bfloat16": "torch.randn(n, 2).bfloat16()",
    "a tensor with gradients": "torch.randn(n, 2, requires_grad=True) * 2",
    "a negative view": "torch.randn(n, dtype=torch.complex64).conj().imag[:, None].expand(n, 2)",
    "a transposed view": "torch.randn(2, n).T",
    "a reversed view": "np.random.normal(size=(n, 2))[::-1]",
    "read-only": "np.broadcast_to(np.random.normal(size=(n, 1)), (n, 2))",
    "a list of lists": "np.random.normal(size=(n, 2)).tolist()",
    "a list of tensors": "[torch.randn(2) for _ in range(n)]",
    "a tuple of arrays": "tuple(np.random.normal(size=(n, 2)))",
    "more rows than asked": "np.random.normal(size=(n + 7, 2))",
    "an unmasked masked array": "np.ma.masked_array(np.random.normal(size=(n, 2)))",
    "a matrix": "np.matrix(np.random.normal(size=(n, 2)))",
    "a subclass of tensors": "nn.Parameter(torch.randn(n, 2))",
    "inference tensors": "infer(n)",
}

RAISES = {
    "an Exception": "raise Exception('no')",
    "nothing said": "raise ValueError",
    "two lines": "raise ValueError('one\\ntwo')",
    "a UserError": "raise modecover.UserError('mine')",
    "sys.exit(0)": "import sys; sys.exit(0)",
    "sys.exit(3)": "import sys; sys.exit(3)",
    "sys.exit with words": "import sys; sys.exit('bye')",
    "a BaseException": "class Odd(BaseException): pass\n    raise Odd('odd')",
    "GeneratorExit": "raise GeneratorExit",
    "a StopIteration": "raise StopIteration",
    "recursion": "return sample(n)",
    "a MemoryError": "return np.zeros((10**14, 2))",
    "a torch MemoryError": "return torch.zeros((10**14, 2))",
    "an assertion": "assert False",
    "an exception that cannot be shown": "class Bad(Exception):\n        def __str__(self): raise ValueError\n    raise Bad",
    "an OSError": "open('/nowhere/x')",
    "a BrokenPipeError": "raise BrokenPipeError",
}

HEAD = "import warnings\nwarnings.simplefilter('ignore')\nimport numpy as np\nimport torch\nfrom torch import nn\nimport modecover\n"
HEAD += "def infer(n):\n    with torch.inference_mode():\n        return torch.randn(n, 2)\n"

NAMES = (
    *(
        "builtins:exit",
        "builtins:quit",
        "os:_exit",
        "os:abort",
        "sys:exit",
        "builtins:print",
        "builtins:len",
        "builtins:input",
    ),
    *(
        "builtins:object",
        "math:pi",
        "nosuch:f",
        "os:nosuch",
        "os.path:join:x",
        "gen.py:nosuch",
        "nosuch.py:f",
        "gen.py:",
    ),
    *(
        ":f",
        "gen:sample:x",
        "gen.py",
        "os:",
        "builtins:open",
        "time:sleep",
        "builtins:breakpoint",
        "bad.py:f",
        "syntax.py:f",
    ),
    *("leaves.py:f", "dir.py:f", "nul.py:f", "this:s", "__main__:main", "builtins:help", "signal:pause", "os:fork"),
)
"""What is no function of the number of samples."""


def files() -> list[object]:
    contents = {
        "bad.py": "raise RuntimeError('no import')",
        "syntax.py": "def f(:\n",
        "leaves.py": "import sys\nsys.exit(0)",
        "nul.py": b"x = 1\0",
    }
    return [written(name, content) for name, content in contents.items()]


def inputs() -> Iterator[Input]:
    audit = "audit --real points.npy --fake gen.py:sample --samples 60"
    for name, value in RETURNS.items():
        make = both(arrays, written("gen.py", f"{HEAD}def sample(n): return {value}\n"))
        yield command(f"returns {name}", audit, make=make)
    for name, value in TAKEN.items():
        make = both(arrays, written("gen.py", f"{HEAD}def sample(n): return {value}\n"))
        yield command(f"returns {name}", audit, make=make, right="accepted", check="Path('audit.html').is_file()")
    for name, body in RAISES.items():
        make = both(arrays, written("gen.py", f"{HEAD}def sample(n):\n    {body}\n"))
        yield command(f"raises {name}", audit, make=make, changes=("__pycache__",))
    for name in NAMES:
        make = both(arrays, written("gen.py", "def sample(n): return None\n"), *files(), _folder)  # type: ignore[arg-type]
        words = ["audit", "--real", "points.npy", f"--fake={name}", "--samples=60"]
        yield command(f"names {name}", words, make=make, changes=("__pycache__",))
    signatures = {
        "without parameters": "def sample(): return np.zeros((9, 2))",
        "of two parameters": "def sample(n, z): return np.zeros((n, 2))",
        "of keywords alone": "def sample(*, count): return np.zeros((count, 2))",
        "that is a coroutine": "async def sample(n): return np.zeros((n, 2))",
        "that yields": "def sample(n):\n    yield np.zeros((n, 2))",
        "that is a class": "class sample:\n    def __init__(self, n): pass",
        "that is a module of torch": "sample = nn.Linear(2, 2)",
        "that is no function": "sample = 5",
    }
    for name, code in signatures.items():
        make = both(arrays, written("gen.py", f"{HEAD}{code}\n"))
        yield command(f"a function {name}", audit, make=make)
    prints = both(
        arrays, written("gen.py", f"{HEAD}print('hello')\ndef sample(n): return np.random.normal(size=(n, 2))\n")
    )
    check = "__import__('json').loads(out[out.index('{'):])"
    yield command(
        "a module that prints, with --json -",
        [*audit.split(), "--json", "-"],
        make=prints,
        right="accepted",
        check=check,
    )
    moves = f"{HEAD}import os\ndef sample(n):\n    os.chdir('/')\n    return np.random.normal(size=(n, 2))\n"
    check = "Path('audit.html').is_file()"
    yield command(
        "changes the folder", audit, make=both(arrays, written("gen.py", moves)), right="accepted", check=check
    )
    seeds = f"{HEAD}def sample(n, seed):\n    torch.manual_seed(0); np.random.seed(0)\n    return np.random.normal(size=(n, 2))\n"
    yield command("seeds all", audit, make=both(arrays, written("gen.py", seeds)), right="accepted")
    grads = f"{HEAD}torch.set_default_dtype(torch.float64)\ndef sample(n): return torch.randn(n, 2)\n"
    yield command("changes the default type", audit, make=both(arrays, written("gen.py", grads)), right="accepted")
    dies = f"{HEAD}def sample(n):\n    torch.set_grad_enabled(False)\n    return torch.randn(n, 2)\n"
    yield command("switches gradients off", audit, make=both(arrays, written("gen.py", dies)), right="accepted")
    for name, value in RETURNS.items():
        if "generator" in name or name == "itself":
            continue
        code = (
            f"n = 60\nsample = lambda n: {value}\nmodecover.audit(np.random.normal(size=(60, 2)), sample, samples=60)"
        )
        yield python(code, name=f"from Python: {name}")
        code = f"n = 60\nsample = None\nmodecover.audit(np.random.normal(size=(60, 2)), {value})"
        if name not in ("too few rows", "a generator", "a class", "itself", "a broadcast of 1e12 rows"):
            yield python(code, name=f"given itself: {name}")


def _folder() -> None:
    from pathlib import Path

    Path("dir.py").mkdir()
