"""Networks of the user's own that cannot be trained, or that are of an unusual kind."""

from __future__ import annotations

from collections.abc import Iterator

from hostile_inputs.record import Input, python

HEAD = """
class Net(nn.Module):
    def __init__(self, a=2, b=2):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(a, 16), nn.ReLU(), nn.Linear(16, b))
    def forward(self, x): return self.body(x)
"""

END = "\nmodecover.train('gan', 'ring', steps=3, batch=8, width=4, networks={networks})"

BROKEN = {
    "frozen": "G = Net().requires_grad_(False)",
    "without gradient": "class G(Net):\n    def forward(self, x): return self.body(x).detach()\nG = G()",
    "without gradient, by no_grad": "class G(Net):\n    @torch.no_grad()\n    def forward(self, x): return self.body(x)\nG = G()",
    "that raises": "class G(Net):\n    def forward(self, x): raise RuntimeError('no')\nG = G()",
    "that raises on the second call": (
        "class G(Net):\n    calls = 0\n    def forward(self, x):\n        G_calls[0] += 1\n"
        "        if G_calls[0] > 1: raise RuntimeError('second')\n        return self.body(x)\nG_calls = [0]\nG = G()"
    ),
    "that raises in training alone": (
        "class G(Net):\n    def forward(self, x):\n        if self.training: raise RuntimeError('training')\n        return self.body(x)\nG = G()"
    ),
    "of another shape": "G = Net(2, 3)",
    "of another latent": "G = Net(5, 2)",
    "of a shape that changes": (
        "class G(Net):\n    def forward(self, x): return self.body(x)[:, : 1 + self.training]\nG = G()"
    ),
    "that returns fewer rows": "class G(Net):\n    def forward(self, x): return self.body(x)[:-1]\nG = G()",
    "that returns a tuple": "class G(Net):\n    def forward(self, x): return self.body(x), x\nG = G()",
    "that returns a dictionary": "class G(Net):\n    def forward(self, x): return {'x': self.body(x)}\nG = G()",
    "that returns None": "class G(Net):\n    def forward(self, x): self.body(x)\nG = G()",
    "that returns an array": "class G(Net):\n    def forward(self, x): return self.body(x).detach().numpy()\nG = G()",
    "that returns integers": "class G(Net):\n    def forward(self, x): return self.body(x).long()\nG = G()",
    "that returns complex numbers": "class G(Net):\n    def forward(self, x): return self.body(x) + 0j\nG = G()",
    "without parameters": "class G(nn.Module):\n    def forward(self, x): return x * 2\nG = G()",
    "without forward": "G = nn.Module()",
    "on meta": "G = Net().to('meta')",
    "lazy": "G = nn.LazyLinear(2)",
    "complex": "G = Net().to(torch.complex64)",
    "of integers": "G = Net(); G.body[0].weight = nn.Parameter(torch.ones(16, 2, dtype=torch.int64), requires_grad=False)",
    "whose weights are NaN": "G = Net()\nwith torch.no_grad(): G.body[0].weight.fill_(float('nan'))",
    "whose forward takes no rows": "class G(Net):\n    def forward(self): return self.body(torch.ones(1, 2))\nG = G()",
    "whose forward takes two": "class G(Net):\n    def forward(self, x, y): return self.body(x)\nG = G()",
    "sparse": "G = Net(); G.body[0].weight = nn.Parameter(G.body[0].weight.detach().to_sparse())",
    "quantised": "class G(Net):\n    def forward(self, x): return torch.quantize_per_tensor(self.body(x).detach(), 0.1, 0, torch.qint8)\nG = G()",
    "that is a class": "G = Net.forward",
    "that is made with an error": "def G(): raise ValueError('not today')",
    "that is made as text": "G = lambda: 'network'",
    "a DataParallel of nothing": "G = nn.DataParallel(nn.Identity())",
}
"""A generator, by the code that makes it."""

TAKEN = {
    "half": "G = Net().half()",
    "bfloat16": "G = Net().bfloat16()",
    "double": "G = Net().double()",
    "with weight_norm": "G = Net(); nn.utils.parametrizations.weight_norm(G.body[0])",
    "with the old weight_norm": "G = Net(); nn.utils.weight_norm(G.body[0])",
    "with used weight_norm": "G = Net(); nn.utils.weight_norm(G.body[0]); G(torch.ones(3, 2))",
    "with spectral_norm": "G = Net(); nn.utils.parametrizations.spectral_norm(G.body[0])",
    "with the old spectral_norm, used": "G = Net(); nn.utils.spectral_norm(G.body[0]); G(torch.ones(3, 2))",
    "scripted": "G = torch.jit.script(Net())",
    "traced": "G = torch.jit.trace(Net(), torch.ones(3, 2))",
    "with dropout": "G = nn.Sequential(Net(), nn.Dropout(0.5))",
    "with batch norm": "G = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.Linear(16, 2))",
    "with instance norm": "G = nn.Sequential(nn.Linear(2, 16), nn.Unflatten(1, (1, 16)), nn.InstanceNorm1d(1), nn.Flatten(), nn.Linear(16, 2))",
    "with a shared weight": "G = Net(2, 2); G.again = G.body",
    "with a frozen half": "G = Net(); G.body[0].requires_grad_(False)",
    "with an unused layer": "G = Net(); G.more = nn.Linear(5, 5)",
    "with a hook": "G = Net(); G.register_forward_hook(lambda m, i, o: o * 1.0)",
    "with in-place ops": "G = nn.Sequential(nn.Linear(2, 16), nn.ReLU(inplace=True), nn.Linear(16, 2))",
    "with a buffer of integers": "G = Net(); G.register_buffer('n', torch.zeros(3, dtype=torch.int64))",
    "with an attribute that cannot be copied": "G = Net(); G.file = open('/dev/null')",
    "with a tensor computed from weights": "G = Net(); G.cache = G.body[0].weight * 2",
    "with a lambda inside": "G = Net(); G.act = lambda x: x",
    "in evaluation mode": "G = Net().eval()",
    "recurrent": (
        "class G(nn.Module):\n    def __init__(self):\n        super().__init__(); self.r = nn.GRU(2, 8); self.o = nn.Linear(8, 2)\n"
        "    def forward(self, x): return self.o(self.r(x[None])[0][0])\nG = G()"
    ),
    "made by a function": "G = Net",
    "a Sequential": "G = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))",
    "a single layer": "G = nn.Linear(2, 2)",
    "in inference mode": "with torch.inference_mode(): G = Net()",
    "compiled lazily": "G = Net(); G.forward = G.forward",
}
"""Unusual generators: trained, or refused in a sentence (which may ask for a function that makes them)."""

JUDGES = {
    "a discriminator of two scores": "nn.Linear(2, 2)",
    "a discriminator of probabilities": "nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())",
    "a discriminator of no rows": "nn.Sequential(nn.Linear(2, 1), nn.Flatten(0), nn.Unflatten(0, (1, -1)))",
    "a discriminator of a constant": "nn.Sequential(nn.Linear(2, 1), nn.Threshold(1e9, 0.0))",
    "a discriminator with batch norm": "nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))",
}


def inputs() -> Iterator[Input]:
    for name, code in BROKEN.items():
        yield python(HEAD + code + END.format(networks="{'G': G}"), name=f"a generator {name}")
    finite = "bool(torch.isfinite(run.sample(5)).all())"
    for name, code in TAKEN.items():
        told = HEAD + code + END.format(networks="{'G': G}").replace("\nmodecover", "\nrun = modecover")
        refusable = name in (
            "with an attribute that cannot be copied",
            "with a tensor computed from weights",
            "with a lambda inside",
            "in inference mode",
            "half",
            "bfloat16",
            "double",
            "compiled lazily",
            "with a hook",
        )
        yield python(told, name=f"a generator {name}", right="either" if refusable else "accepted", check=finite)
        saved = (
            told.replace("'ring', ", "'ring', 'new', ")
            + "\nmodecover.load('new', networks={'G': G if isinstance(G, nn.Module) else G()}).sample(5)"
        )
        if name in (
            "half",
            "with weight_norm",
            "scripted",
            "with the old spectral_norm, used",
            "with a shared weight",
            "double",
            "with batch norm",
        ):
            yield python(
                saved, name=f"saved and loaded: a generator {name}", right="either" if refusable else "accepted"
            )
    for name, code in JUDGES.items():
        right = "refused" if name.endswith(("scores", "rows")) else "either"
        yield python(
            f"modecover.train('gan', 'ring', steps=3, batch=8, networks={{'D': {code}}})", name=name, right=right
        )
    yield python(
        "modecover.train('gan', 'ring', steps=3, batch=8, seeds=2, networks={'G': nn.Linear(2, 2)})",
        name="one module, two seeds",
    )
    yield python(
        "modecover.train('gan', 'ring', steps=3, batch=8, seeds=2, networks={'G': lambda: nn.Linear(2, 2)})",
        name="made, two seeds",
        right="accepted",
    )
    code = "n = iter([2, 3, 2, 3])\nmodecover.train('gan', 'ring', steps=3, batch=8, seeds=2, networks={'G': lambda: nn.Sequential(nn.Linear(2, next(n)), nn.ReLU(), nn.LazyLinear(2))})"
    yield python(code, name="made differently, two seeds")
    same = "G = nn.Linear(2, 2)\nmodecover.train('gan', 'ring', steps=3, batch=8, seeds=2, networks={'G': lambda: G})"
    yield python(same, name="a function that gives the same module twice", right="either")
    shared = "G = nn.Linear(2, 2)\nmodecover.train('reg-gan', 'ring', steps=3, batch=8, networks={'G': G, 'E': G})"
    yield python(shared, name="one module for two networks", right="either")
    for batch, more in ((1, ""), (2, ", accumulate=2"), (3, ", accumulate=3"), (1, ", seeds=2")):
        net = "lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))"
        code = f"modecover.train('gan', 'ring', steps=3, batch={batch}{more}, networks={{'G': {net}}})"
        yield python(code, name=f"batch norm, batch {batch}{more}", right="either")
    for method in (
        "gan",
        "lsgan",
        "wgan",
        "wgan-gp",
        "sngan",
        "r3gan",
        "pacgan",
        "unrolled",
        "bigan",
        "ali",
        "veegan",
        "reg-gan",
        "mdgan",
        "ldmgan",
        "ivgan",
        "ivdcgan",
        "ivlsgan",
        "ivaae-bw",
        "ivaae-rad",
        "ivaae-svgd",
        "vae",
        "vaegan",
        "aae",
        "wae-gan",
        "wae-mmd",
    ):
        images = "np.random.default_rng(0).random((20, 16, 16))"
        yield python(
            f"modecover.train('{method}', {images}, steps=2, batch=1, width=4, latent=8)",
            name=f"{method}, batch 1, images",
            right="either",
        )
        yield python(
            f"modecover.train('{method}', 'ring', steps=2, batch=1, width=4)", name=f"{method}, batch 1", right="either"
        )
        yield python(
            f"modecover.train('{method}', 'ring', steps=2, batch=4, accumulate=4, width=4)",
            name=f"{method}, micro-batches of 1",
            right="either",
        )
