"""Models written as ONNX and TorchScript, into bad places and of networks that no file can hold; alarms, trackers and
the Hub, given what they are not for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from hostile_inputs.record import Input, command, python
from hostile_inputs.things import arrays, both, copied, written

PLACES: dict[str, tuple[str, Callable[[], None] | None]] = {
    "a folder": ("here", lambda: os.mkdir("here")),
    "a pipe": ("here", lambda: os.mkfifo("here")),
    "a device": ("/dev/null", None),
    "in the system's processes": ("/proc/x.pt", None),
    "below a file": ("points.npy/x.pt", None),
    "a name of 300 letters": ("x" * 300, None),
    "an embedded NUL": ("a\0b.pt", None),
    "a link to itself": ("here", lambda: os.symlink("here", "here")),
    "no UTF-8": (os.fsdecode(b"a\xff.pt"), None),
}
"""Where no file can be written, and what is there before."""

GOOD_PLACES: dict[str, tuple[str, Callable[[], None] | None]] = {
    "a folder that is not there": ("new/deep/x.pt", None),
    "an old file": ("x.pt", written("x.pt", "old")),
    "blanks and unicode": ("a b/ü.pt", None),
    "no ending": ("x", None),
    "a leading dash": ("./-x.pt", None),
    "the model's own weights": ("run/model/x.safetensors", None),
}

WORDS = (
    *("export", "export run", "export nowhere --torchscript x.pt", "export run --onnx", "export run --torchscript="),
    *("export run --torchscript x.pt --part decoder", "export run --torchscript x.pt --part encoder"),
    *("export run --torchscript x.pt --of-seed 9", "export two-run --torchscript x.pt --of-seed 7"),
    *("export run --torchscript x.pt --of-seed -1", "export run --torchscript x.pt --of-seed x", "export run run"),
    *("export run --torchscript x.pt --onnx /proc/x.onnx", "export points.npy --torchscript x.pt"),
    *("export run --tensorflow x", "export . --torchscript x.pt", "export /dev/null --torchscript x.pt"),
    *("export run/log.jsonl --torchscript x.pt", "export run --torchscript x.pt --onnx x.pt"),
)

NETWORKS = {
    "random": "def forward(self, z): return self.f(z) + torch.rand_like(z)",
    "of the batch's mean": "def forward(self, z): return self.f(z) - self.f(z).mean(0)",
    "of its sum's sign": "def forward(self, z): return self.f(z) if z.sum() > 0 else -self.f(z)",
    "of a count": "n = 0\n    def forward(self, z): self.n += 1; return self.f(z) * self.n",
    "of NumPy": "def forward(self, z): return torch.from_numpy(np.tanh(z.detach().numpy()))",
    "of lists": "def forward(self, z): return torch.tensor([[float(v) for v in row] for row in z.tolist()]).reshape(-1, 2)",
    "that raises when traced": "def forward(self, z):\n        if torch.jit.is_tracing() or torch.compiler.is_compiling(): raise KeyError(z)\n        return self.f(z)",
}

ALARM = (
    *("None, {'missing': 0.2}", "'nowhere.npy', {'missing': 0.2}", "x[:9], {'missing': 0.2}", "x, None", "x, {}"),
    *("x, 0.2", "x, 'missing'", "x, {'missing': 2}", "x, {'missing': 'x'}", "x, {'nosuch': 0.2}", "x, {5: 0.2}"),
    *(
        "x, {'missing': float('nan')}",
        "x, {'missing': True}",
        "x, {'missing': 0.1, 'missing mass': 0.2}",
        "x, ['missing']",
    ),
    *("x, {'missing': 0.2}, features='nosuch'", "x, {'missing': 0.2}, features=5", "x, {'missing': 0.2}, samples=0"),
    *("x, {'missing': 0.2}, samples='x'", "x, {'missing': 0.2}, seed=-1", "x, {'missing': 0.2}, device='tpu9'"),
    *("x, {'missing': 0.2}, device=None", "x, {'missing': 0.2}, progress=5", "x, {'missing': 0.2}, real_options=5"),
    *(
        "x, {'missing': 0.2}, real_options={'colour': 1}",
        "x, {'missing': 0.2}, nosuch=1",
        "x * np.nan, {'missing': 0.2}",
    ),
    *("x, {'missing': 0.2}, fake_options={'colour': 1}", "x, {'missing': 0.2}, features=lambda rows: 1 / 0"),
    *(
        "x, {'imbalance': 0.2}",
        "x, {'missing': -0.1}",
        "x, {'missing': 0.2}, samples=10**12",
        "np.zeros((0, 2)), {'missing': 0.2}",
    ),
)

CHECKS = (
    *("None", "5", "x[:3]", "x[:30]", "x[:, :1]", "x * np.nan", "'nowhere.npy'", "lambda n: None", "lambda n: 1 / 0"),
    *(
        "lambda n: x[:5]",
        "lambda n: np.zeros((n, 3))",
        "np.zeros((100, 2, 2))",
        "x, step=-1",
        "x, step='x'",
        "x, nosuch=1",
    ),
    *("lambda n: np.full((n, 2), 1e300)", "{}", "torch.ones(100, 2, device='meta')", "[]"),
)

STATES = ("None", "{}", "5", "{'bounds': {'missing-mass': 0.5}}", "{'bounds': {'missing-mass': 0.2}}",
          "{**alarm.state_dict(), 'armed': 5}", "{**alarm.state_dict(), 'nosuch': 5}", "{**alarm.state_dict(), 'looks': 'x'}",
          "{**alarm.state_dict(), 'in_a_row': [1]}", "{**alarm.state_dict(), 'good': 5}", "{**alarm.state_dict(), 'last': 5}")  # fmt: skip

STAND_IN = """
import sys, types
stand_in = types.ModuleType({name!r})
stand_in.__spec__ = __import__('importlib.machinery', fromlist=['x']).ModuleSpec({name!r}, None)
class Run:
    def log(self, *a, **k): {log}
    def finish(self, *a, **k): {finish}
stand_in.Image = lambda path: path
def init(**k):
    {init}
    return Run()
stand_in.init = init
sys.modules[{name!r}] = stand_in
told = []
class L(modecover.Listener):
    def note(self, sentence): told.append(sentence)
modecover.train('gan', 'points.npy', 'new', steps=4, batch=8, width=4, log_every=1, report_to={name!r}, listener=L())
"""

TRACKERS = {
    "that cannot begin": {"init": "raise RuntimeError('no\\\\nnetwork')", "log": "pass", "finish": "pass"},
    "that leaves when it begins": {"init": "raise SystemExit(1)", "log": "pass", "finish": "pass"},
    "that breaks down": {"init": "pass", "log": "1 / 0", "finish": "pass"},
    "that cannot end": {"init": "pass", "log": "pass", "finish": "1 / 0"},
    "that prints": {"init": "pass", "log": "pass", "finish": "pass"},
}

PUSH = """
import huggingface_hub
calls = []
class Api:
    def __init__(self, *a, **k): pass
    def create_repo(self, repo_id, **k):
        calls.append(repo_id)
        {create}
        return type('Repo', (), {{'repo_id': repo_id}})()
    def upload_folder(self, *a, **k):
        {upload}
        return 'address'
import huggingface_hub.hub_mixin as mixin
mixin.HfApi = Api
modecover.load('run').push_to_hub({arguments})
"""

PUSHES = (
    *(
        "5",
        "None",
        "''",
        "'a/b/c'",
        "'a b'",
        "'owner/name', license=5",
        "'owner/name', audit=5",
        "'owner/name', audit='x'",
    ),
    *(
        "'owner/name', audit='points.npy'",
        "'owner/name', audit={}",
        "'owner/name', audit={'kind': 'audit', 'verdicts': [5]}",
    ),
    *(
        "'owner/name', nosuch=1",
        "'owner/name', license='a\\nb'",
        "'owner/name', audit='/dev/zero'",
        "'owner/name', model_card_kwargs=5",
    ),
)


def inputs() -> Iterator[Input]:
    for name, (path, make) in PLACES.items():
        for form in ("torchscript", "onnx"):
            yield command(
                f"--{form}: {name}",
                ["export", "run", f"--{form}={path}"],
                make=both(copied("run"), make),
                right="either" if name == "a link to itself" else "refused",
            )
    for name, (path, make) in GOOD_PLACES.items():
        check = f"torch.jit.load({path!r})(torch.zeros(3, 2)).shape == (3, 2)"
        words = ["export", "run", f"--torchscript={path}"]
        yield command(f"taken: {name}", words, make=both(copied("run"), make), right="accepted", check=check)
    for words in WORDS:
        yield command(words, words, make=copied("run", "two-run"))
    for name in ("images-run", "two-run", "ring-run", "encoder-run"):
        words = f"export {name} --torchscript x.pt --onnx x.onnx" + " --part encoder" * (name == "encoder-run")
        yield command(words, words, make=copied(name), right="accepted", check="Path('x.onnx').is_file()")
    for name, forward in NETWORKS.items():
        code = f"class G(nn.Module):\n    def __init__(self): super().__init__(); self.f = nn.Linear(2, 2)\n    {forward}\n"
        code += "model = modecover.train('gan', 'ring', steps=1, batch=8, width=4, networks={'G': G()}).models[0]\n"
        for ending in ("pt", "onnx"):
            right = "either" if name in ("of its sum's sign", "of the batch's mean") else "refused"
            yield python(f"{code}model.export('x.{ending}')", name=f"a network {name} as {ending}", right=right)
    for call in ("model.export('x')", "model.export('x.h5')", "model.export(None)", "model.export(5)", "model.export('')",
                 "model.export('x.pt', 'keras')", "model.export('x.pt', 5)", "model.export('x.pt', part='x')",
                 "model.export('x.pt', part=None)", "model.export('.pt')", "model.export('x.pt', nosuch=1)"):  # fmt: skip
        right = "either" if call.endswith("('.pt')") else "refused"
        yield python(f"model = modecover.load('run')\n{call}", name=call, make=copied("run"), right=right)
    head = "x = np.random.default_rng(0).normal(size=(400, 2))\n"
    for arguments in ALARM:
        yield python(f"{head}modecover.Alarm({arguments})", name=f"Alarm({arguments})")
    alarm = f"{head}alarm = modecover.Alarm(x, {{'missing': 0.2}}, samples=100)\n"
    for arguments in CHECKS:
        yield python(f"{alarm}alarm.check({arguments})", name=f"check({arguments})")
    for state in STATES:
        yield python(f"{alarm}alarm.load_state_dict({state})\nalarm.check(x)", name=f"load_state_dict({state})")
    for kept in (
        "np.ones((100, 2))",
        "x[:51]",
        "x.astype('f2')",
        "lambda n: torch.zeros(n, 2)",
        "np.full((100, 2), 1e30)",
    ):
        yield python(
            f"{alarm}alarm.check({kept}); alarm.check({kept}, step=5)", name=f"taken: check({kept})", right="accepted"
        )
    for name, parts in TRACKERS.items():
        code = STAND_IN.format(name="wandb", **parts)
        check = "Path('new/model/model.safetensors').is_file() and len(told) <= 1"
        yield python(code, name=f"a tracker {name}", make=arrays, right="accepted", check=check)
    for words in ("--report-to=x", "--report-to=", "--report-to", "--report-to tensorboard --report-to x"):
        yield command(words, f"train gan --data ring --steps 2 --batch 8 --width 4 --out new {words}")
    barred = both(copied("run"), written("run/tensorboard", "x"))
    words = "train gan --data points.npy --steps 4 --batch 8 --width 4 --out run --report-to tensorboard"
    yield command(
        "tensorboard's folder is a file", words, make=barred, right="accepted", check="'takes no more' in err + out"
    )
    for arguments in PUSHES:
        code = PUSH.format(create="pass", upload="pass", arguments=arguments)
        right = "either" if "\\n" in arguments else "refused"
        yield python(code, name=f"push_to_hub({arguments})", make=copied("run"), right=right)
    refusals = {"create": "raise ConnectionError('no\\nroute')", "upload": "pass"}
    code = PUSH.format(**refusals, arguments="'owner/name'")
    yield python(code, name="push_to_hub without leave", make=copied("run"))
    offline = "modecover.load('run').push_to_hub('owner/name', token='x')"
    yield python(offline, name="push_to_hub without a network", make=copied("run"))
    yield python("modecover.load('owner/name')", name="load from the Hub without a network")
    yield python("modecover.load('run').save_pretrained('points.npy')", make=copied("run"))
    whole = PUSH.format(create="pass", upload="pass", arguments="'owner/name', license='mit'")
    yield python(
        whole, name="taken: push_to_hub", make=copied("run"), right="accepted", check="calls == ['owner/name']"
    )
