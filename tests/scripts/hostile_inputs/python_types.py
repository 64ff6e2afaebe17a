"""The library's public functions with arguments of wrong types: one sentence at the door that names the argument."""

from __future__ import annotations

from collections.abc import Iterator

from hostile_inputs.record import Input, python
from hostile_inputs.things import arrays, both, copied, pictures

HEAD = "x = np.random.default_rng(0).normal(size=(60, 2))\n"

TRAIN: dict[str, tuple[str, ...]] = {
    "method": ("None", "5", "b'gan'", "['gan']", "''"),
    "data": (
        "None",
        "5",
        "b'ring'",
        "{}",
        "object()",
        "np",
        "lambda n: x",
        "x.tolist",
        "[]",
        "[[]]",
        "np.float64(3)",
        "set()",
    ),
    "out": ("5", "b'new'", "[]", "True", "{}", "open"),
    "preset": ("5", "[]", "{}", "b'x'"),
    "protocol": ("5", "[]", "{}", "b'x'"),
    "networks": (
        "5",
        "[]",
        "nn.Linear(2, 2)",
        "nn.Linear",
        "{'G': None}",
        "{'G': 'mlp'}",
        "{'G': nn.Linear}",
        "{5: nn.Linear(2, 2)}",
        "{'G': 5}",
        "{'G': lambda: None}",
        "{'G': lambda a: nn.Linear(2, 2)}",
        "{'H': nn.Linear(2, 2)}",
        "[nn.Linear(2, 2)]",
        "nn.ModuleDict({'G': nn.Linear(2, 2)})",
        "b'mlp'",
    ),
    "size": ("'32'", "1.5", "[]", "True", "-1", "0"),
    "channels": ("'3'", "2", "[]", "1.0", "True"),
    "data_dir": ("5", "[]", "b'x'", "True"),
    "split": ("None", "5", "[]", "b'train'"),
    "key": ("5", "[]", "b'x'", "True"),
    "labels": (
        "5",
        "{}",
        "object()",
        "lambda: 0",
        "[1, 2]",
        "[None] * 60",
        "np.zeros((60, 2))",
        "[[1], [2, 3]]",
        "True",
        "nn.Linear(2, 2)",
    ),
    "layout": ("5", "[]", "b'NHWC'", "True"),
    "memory_limit": ("None", "-1", "1.5", "float('nan')", "[]", "float('inf')"),
    "listener": ("5", "'x'", "[5]", "print", "object()", "modecover.Display", "True"),
    "steps": ("None", "'10'", "1.5", "[]", "float('nan')", "True", "0", "10**30"),
    "batch": ("None", "'8'", "8.5", "[]", "True", "10**12"),
    "seed": ("None", "'0'", "0.5", "[]", "True", "-1"),
    "lr": ("None", "'1e-3'", "[]", "float('nan')", "True", "1j", "float('inf')"),
    "device": ("None", "5", "[]", "b'tpu'", "torch.device('meta')", "'meta'"),
    "lr_schedule": ("None", "5", "0.5", "[]", "lambda t: 1.0", "b'1'"),
    "betas": ("(0.5, 0.9)",),
    "learning_rate": ("1e-3",),
    "report_to": ("1", "'comet'", "['wandb']", "True"),
}
"""Arguments of `train`, each with values that are none."""

OPEN: dict[str, tuple[str, ...]] = {
    "source": (
        "None",
        "5",
        "True",
        "b'ring'",
        "{}",
        "object()",
        "lambda: 0",
        "open",
        "''",
        "x[:, 0]",
        "iter([])",
        "(v for v in x)",
        "x.astype(object)",
        "np.ma.masked_array(x, mask=x > 0)",
        "torch.empty(9, 2, device='meta')",
        "torch.eye(5).to_sparse()",
        "nn.Linear(2, 2)",
        "x.astype(complex)",
        "np.broadcast_to(np.zeros((1, 2)), (10**12, 2))",
        "torch.zeros(1, 2).expand(10**12, 2)",
        "torch.quantize_per_tensor(torch.randn(9, 2), 0.1, 0, torch.qint8)",
        "[[1.0], [1.0, 2.0]]",
        "['a', 'b']",
        "'a\\0b'",
        "Path('nowhere')",
        "Path('a\\0b')",
        "type('X', (), {})()",
        "range(5)",
        "{'x': x}",
        "memoryview(b'abc')",
    ),
    "size": ("'32'", "1.5", "[]", "float('nan')", "10**30"),
    "channels": ("'3'", "[]", "True"),
    "device": ("None", "5", "[]", "'tpu9'", "'cuda:99'", "''", "'meta'", "b'tpu'"),
    "split": ("None", "5"),
    "key": ("5", "'nosuch'"),
    "labels": (
        "5",
        "[1, 2]",
        "'nosuch'",
        "object()",
        "x",
        "[1.5] * 60",
        "[float('inf')] * 60",
        "torch.zeros(60, device='meta')",
    ),
    "layout": ("5", "'zz'", "[]"),
    "memory_limit": ("None", "-1", "float('nan')"),
}

AUDIT: dict[str, tuple[str, ...]] = {
    "real": ("None", "5", "[]", "''", "x[:5]", "x[:0]", "object()", "x[:, :1]"),
    "fake": (
        "None",
        "5",
        "[]",
        "''",
        "x[:5]",
        "x[:0]",
        "object()",
        "x[:, :1]",
        "nn.Linear(2, 2)",
        "lambda: x",
        "lambda n: 1 / 0",
        "sum",
    ),
    "train": ("5", "object()", "x[:, :1]", "[]"),
    "test": ("5", "object()", "x[:, :1]", "[]"),
    "labels": ("5", "[1, 2]", "x", "object()", "'nosuch'", "[0.5] * 60", "[-1.5] * 60"),
    "features": (
        "None",
        "5",
        "'nosuch'",
        "[]",
        "lambda rows: None",
        "lambda rows: rows[:3]",
        "lambda rows: 1 / 0",
        "'inception:nowhere'",
        "lambda rows: rows * float('nan')",
        "nn.Linear(3, 2)",
        "'classifier'",
        "'inception:'",
        "b'pixels'",
        "''",
    ),
    "encoder": (
        "5",
        "'E'",
        "lambda rows: None",
        "lambda rows: 1 / 0",
        "lambda rows: rows[:3]",
        "nn.Linear(3, 2)",
        "[]",
    ),
    "samples": ("None", "'10'", "1.5", "0", "-1", "[]", "True", "float('inf')"),
    "seed": ("None", "'0'", "0.5", "-1", "[]", "True"),
    "memory": ("None", "'lots'", "0", "-1", "float('nan')", "[]", "True"),
    "of_seed": ("'0'", "1.5", "[]", "-1"),
    "real_options": ("5", "[]", "{'nosuch': 1}", "{'size': 'x'}", "'x'", "{5: 5}"),
    "fake_options": ("5", "[]", "{'nosuch': 1}", "'x'", "{5: 5}"),
    "device": ("None", "5", "'tpu9'", "'meta'", "[]", "'cuda:99'"),
    "progress": ("5", "'x'", "[]", "True"),
}

LOAD = (
    "None",
    "5",
    "b'run'",
    "[]",
    "''",
    "object()",
    "Path('nowhere')",
    "'a\\0b'",
    "{}",
    "modecover",
    "open",
    "True",
    "'run', seed='0'",
    "'run', seed=1.5",
    "'run', seed=7",
    "'run', networks=5",
    "'run', networks={'G': None}",
    "'run', networks=nn.Linear(2, 2)",
    "'run', networks={'Q': nn.Linear(2, 2)}",
    "'run', networks=[]",
    "'run', networks={'G': 'mlp'}",
    "'run', networks={'G': nn.Linear}",
)

MODEL = (
    "sample(None)",
    "sample('9')",
    "sample(1.5)",
    "sample(True)",
    "sample(0)",
    "sample(10**18)",
    "sample(9, seed=None)",
    "sample(9, seed='0')",
    "sample(9, seed=1.5)",
    "sample(9, batch=0)",
    "sample(9, batch=None)",
    "sample(9, batch='8')",
    "sample(9, batch=1.5)",
    "sample_images(9)",
    "encode(x)",
    "encode(None)",
    "latents(None)",
    "latents(-1)",
    "sample(9, seed=-1)",
    "sample(9, seed=[])",
    "save_pretrained('points.npy')",
    "sample([9])",
    "sample(torch.tensor(9.5))",
    "latents(9, seed='x')",
    "save_pretrained('/proc/x')",
    "sample(float('inf'))",
    "sample(10**30)",
)

ENCODER = (
    "encode(None)",
    "encode(torch.ones(3))",
    "encode(torch.ones(3, 5))",
    "encode('x')",
    "encode(torch.ones(3, 2), batch=0)",
    "encode(torch.ones(3, 2, device='meta'))",
    "encode(torch.ones(3, 2, dtype=torch.complex64))",
    "encode(5)",
)

RUN = ("sample(None)", "sample('9')", "sample(-1)", "sample(9, seed=None)")

MADE = (
    "modecover.GenerativeModel({}, prior={}, data={}, method={}, training={})",
    "modecover.GenerativeModel({'G': None}, prior={'law': 'normal', 'dimension': 2}, data={}, method={}, training={})",
    "modecover.GenerativeModel({'G': nn.Linear(2, 2)}, prior=None, data={}, method={}, training={})",
    "modecover.GenerativeModel({'G': nn.Linear(2, 2)}, prior=5, data={}, method={}, training={})",
    "modecover.GenerativeModel({'G': nn.Linear(2, 2)}, prior={'law': 'normal', 'dimension': -1}, data={}, method={}, training={})",
    "modecover.GenerativeModel({'G': nn.Linear(2, 2)}, prior={'law': [], 'dimension': 2}, data={}, method={}, training={})",
    "modecover.GenerativeModel({'G': nn.Linear(2, 2)}, prior={'law': 'normal', 'dimension': True}, data={}, method={}, training={})",
    "modecover.GenerativeModel(nn.Linear(2, 2), prior={'law': 'normal', 'dimension': 2}, data={}, method={}, training={})",
    "modecover.GenerativeModel(None, prior={'law': 'normal', 'dimension': 2}, data={}, method={}, training={})",
    "modecover.GenerativeModel({'a.b': nn.Linear(2, 2), 'G': nn.Linear(2, 2)}, prior={'law': 'normal', 'dimension': 2}, data={}, method={}, training={})",
)

G = "G = E = f = nn.Linear(4, 4)\nB = modecover.interventions.BlockSubstitution(4)\n"

INTERVENTIONS = (
    "modecover.InterventionLoss(None, E, f, B)",
    "modecover.InterventionLoss(G, 5, f, B)",
    "modecover.InterventionLoss(G, E, 'f', B)",
    "modecover.InterventionLoss(G, E, f, None)",
    "modecover.InterventionLoss(G, E, f, 4)",
    "modecover.InterventionLoss(G, E, f, modecover.interventions.BlockSubstitution)",
    "modecover.InterventionLoss(G, E, f, B, cap='yes')",
    "modecover.InterventionLoss(G, E, f, B).intervene(None)",
    "modecover.InterventionLoss(G, E, f, B).intervene(np.ones((8, 4)))",
    "modecover.InterventionLoss(G, lambda x: None, f, B).intervene(torch.ones(8, 4))",
    "modecover.InterventionLoss(G, lambda x: x[:, 0], f, B).intervene(torch.ones(8, 4))",
    "modecover.InterventionLoss(G, E, f, modecover.interventions.BlockSubstitution(3)).intervene(torch.ones(8, 4))",
    "modecover.InterventionLoss(G, E, f, modecover.interventions.BlockSubstitution(1)).intervene(torch.ones(8, 4))",
    "modecover.InterventionLoss(G, E, lambda x: x[:, :2], B)(modecover.InterventionLoss(G, E, f, B).intervene(torch.ones(8, 4)))",
    "modecover.InterventionLoss(G, E, lambda x: None, B)(modecover.InterventionLoss(G, E, f, B).intervene(torch.ones(8, 4)))",
    "modecover.InterventionLoss(G, E, f, B)(None)",
    "modecover.InterventionLoss(G, E, f, B)(torch.ones(8, 4))",
    "modecover.InterventionLoss(G, E, f, B).classifier(5)",
    "modecover.interventions.BlockSubstitution(0).check(4)",
    "modecover.interventions.BlockSubstitution(-1).check(4)",
    "modecover.interventions.BlockSubstitution('4').check(4)",
    "modecover.interventions.BlockSubstitution(2.5).check(4)",
    "modecover.interventions.BlockSubstitution(None).check(4)",
    "modecover.interventions.CumulativeSubstitution(0).check(4)",
    "modecover.interventions.RadialSubstitution(0).check(4)",
)

DISPLAY = ("modecover.Display(5)", "modecover.Display('x')", "modecover.Display([])", "modecover.Display(open)")

BUILD = (
    *(
        "None, (2,), 2",
        "5, (2,), 2",
        "{'G': 'generator'}, None, 2",
        "{'G': 'generator'}, 2, 2",
        "{'G': 'generator'}, (2,), None",
    ),
    *(
        "{'G': 'generator'}, (2,), 2.5",
        "{'G': 'generator'}, (2,), -1",
        "{'G': 'generator'}, (), 2",
        "{'G': 'generator'}, (0,), 2",
    ),
    *(
        "{'G': 'generator'}, (2.5,), 2",
        "{'G': 'generator'}, ('2',), 2",
        "{'G': 'generator'}, '2', 2",
        "{'G': 'nosuch'}, (2,), 2",
    ),
    *(
        "{'G': None}, (2,), 2",
        "['G'], (2,), 2",
        "{'G': 'generator'}, (2,), 2, preset='nosuch'",
        "{'G': 'generator'}, (2,), 2, preset=5",
    ),
    *(
        "{'G': 'generator'}, (2,), 2, preset=None",
        "{'G': 'generator'}, (2,), 2, width='x'",
        "{'G': 'generator'}, (2,), 2, width=0",
    ),
    *(
        "{'G': 'generator'}, (2,), 2, width=10**12",
        "{'G': 'generator'}, (2,), 10**12",
        "{'G': 'generator'}, (3, 10**6, 10**6), 2, preset='mlp'",
    ),
    *(
        "{'D': 'discriminator'}, (2,), 2, classes=-1",
        "{'D': 'discriminator'}, (2,), 2, classes='x'",
        "{'D': 'discriminator'}, (2,), 2, dropout='x'",
    ),
    *(
        "{'D': 'discriminator'}, (2,), 2, dropout=2.0",
        "{'D': 'discriminator'}, (2,), 2, dropout=-1",
        "{'D': 'discriminator'}, (2,), 2, packing=0",
    ),
    *(
        "{'D': 'discriminator'}, (2,), 2, discriminator_norm='x'",
        "{'D': 'discriminator'}, (2,), 2, discriminator_norm=5",
    ),
    *(
        "{'D': 'discriminator'}, (2,), 2, packing=1.5",
        "{'G': 'generator'}, (3, 7, 7), 2, preset='dcgan'",
        "{'G': 'generator'}, (3, 16, 8), 2",
    ),
    "{'G': 'generator'}, (2,), 2, input_affine='x'",
    *("{'D': 'discriminator'}, (2,), 2, dropout=float('nan')", "{'D': 'discriminator'}, (2,), 2, classes=10**12"),
)

OTHERS = (
    *(
        "modecover.data.check(None)",
        "modecover.data.check('ring')",
        "modecover.data.check(modecover.open_data('ring'), samples=-1)",
    ),
    *(
        "modecover.data.check(modecover.open_data('ring'), examine=0)",
        "modecover.data.check(modecover.open_data('ring'), samples='x')",
    ),
    *("modecover.data.Mixture(None, 0.1, None)", "modecover.data.Mixture(torch.zeros(2, 2), 0.1, torch.ones(2))"),
    *(
        "modecover.data.Mixture(torch.eye(2), 'x', torch.ones(2))",
        "modecover.data.Mixture(torch.eye(2), float('nan'), torch.ones(2))",
    ),
    *(
        "modecover.data.Mixture(torch.eye(2), 0.1, torch.full((2,), float('nan')))",
        "modecover.data.Mixture(torch.eye(2), 0.1, -torch.ones(2))",
    ),
    *(
        "modecover.data.Mixture(torch.full((2, 2), float('inf')), 0.1, torch.ones(2))",
        "modecover.data.Mixture('ab', 0.1, [1, 1])",
    ),
    *("modecover.data.StackedDigits(None)", "modecover.data.StackedDigits(modecover.open_data('ring'))"),
    *("modecover.networks.from_config(None)", "modecover.networks.from_config({'class': [], 'arguments': {}})"),
    *(
        "modecover.networks.from_config({'class': 'MLPGenerator', 'arguments': 5})",
        "modecover.networks.from_config('MLPGenerator')",
    ),
    *("modecover.networks.from_config({'class': 'MLPGenerator', 'arguments': {'latent': 'x'}})",),
    *(
        "modecover.methods.registry.get(None)",
        "modecover.methods.registry.get(5)",
        "modecover.methods.registry.get('')",
    ),
    *("modecover.methods.registry.get([])",),
    *(
        "modecover.audit(x, x, real_options={'key': 5})",
        "modecover.audit(x, x).save('a.txt')",
        "modecover.audit(x, x).save(5)",
    ),
    *(
        "modecover.audit(x, x).save('/proc/x.html')",
        "modecover.audit(x, x).save('')",
        "modecover.audit(x, x).verdict('nosuch')",
    ),
    *(
        "modecover.audit(x, x).verdict(None)",
        "modecover.audit(x, x).save('a\\0b.html')",
        "modecover.audit(x, x).verdict(5)",
    ),
    *("modecover.train('gan', x, steps=2, batch=61)", "modecover.train('gan', x, steps=2, Steps=3)"),
    *(
        "modecover.train('gan', x, nosuch=3)",
        "modecover.train('gan', x, steps=2, k=3)",
        "modecover.train('gan', x, steps=2, networks='mpl')",
    ),
)

KEYS = (
    "np.arange(60) - 1",
    "[60]",
    "torch.tensor([0.5])",
    "torch.eye(2, dtype=int)",
    "None",
    "'x'",
    "slice(3)",
    "[True]",
)
"""Keys that no finite set of 60 rows has."""

DATASETS = {
    "points": "modecover.open_data(x)",
    "images": "modecover.open_data(np.random.default_rng(0).random((60, 8, 8)))",
    "streamed": "modecover.open_data('pictures', memory_limit=1)",
    "endless": "modecover.open_data('ring')",
}

OF_DATASETS = (
    *("draw(2.5, g)", "draw('3', g)", "draw(-1, g)", "draw(3, None)", "sample(3, np.random)", "sample(None, g)"),
    *("to('tpu9')", "to(None)", "to(7)", "resized(0)", "resized('x')", "resized(-1)"),
)

TAKEN = (
    "modecover.train('gan', x, steps=2.0, batch=8.0, width=np.float32(4))",
    "modecover.open_data(x).fetch(np.arange(3)), modecover.open_data(x).fetch([0, 59]), modecover.open_data(x, labels=range(60)).labels_of(range(3))",
    "modecover.train(method='gan', data='ring', steps=np.int64(2), batch=np.int32(8), lr=np.float32(1e-3), width=4)",
    "modecover.train('gan', [[1.0, 2.0]] * 20, steps=2, batch=8, width=4)",
    "modecover.train('gan', x.astype('>f4'), steps=2, batch=8, width=4)",
    "modecover.train('gan', x[::-1], steps=2, batch=8, width=4)",
    "modecover.train('gan', torch.randn(60, 2, requires_grad=True), steps=2, batch=8, width=4)",
    "modecover.train('gan', torch.randn(60, 2).bfloat16(), steps=2, batch=8, width=4)",
    "modecover.train('gan', torch.randn(60, 2, dtype=torch.complex64).conj().imag, steps=2, batch=8, width=4)",
    "modecover.train('gan', nn.Parameter(torch.randn(60, 2)), steps=2, batch=8, width=4)",
    "modecover.train('gan', np.asmatrix(x), steps=2, batch=8, width=4)",
    "modecover.train('gan', Path('points.npy'), Path('new'), steps=2, batch=8, width=4)",
    "modecover.train('gan', x, steps=2, batch=8, width=4, labels=[0, 1] * 30)",
    "modecover.audit(x, x, memory='1GB')",
    "modecover.audit(x, x[::-1].astype(np.float16), samples=np.int64(60))",
    "modecover.audit(x, x, seed=np.int64(3))",
    "modecover.audit(torch.randn(60, 2).bfloat16(), torch.randn(60, 2).half())",
    "modecover.audit(x, x, labels=torch.zeros(60, dtype=torch.int32))",
    "modecover.open_data('ring', device=torch.device('cpu'))",
    "modecover.open_data(np.ones((9, 4, 4), bool), labels=range(9))",
    "modecover.open_data(x, labels=np.array(['a', 'b'] * 30, dtype=object))",
    "modecover.open_data(x, labels=torch.arange(60))",
    "modecover.load('run').sample(np.int64(5), seed=np.int64(1))",
    "modecover.load(Path('run')).sample(5, batch=10**9)",
)


def inputs() -> Iterator[Input]:
    def wrong(code: str, **options: object) -> Input:
        return python(HEAD + code, name=" ".join(code.split())[-110:], make=arrays, **options)

    for name, values in TRAIN.items():
        for value in values:
            given = {"method": "'gan'", "data": "x", "steps": "2", "batch": "8", "width": "4"} | {name: value}
            arguments = ", ".join(f"{key}={text}" for key, text in given.items())
            yield wrong(f"modecover.train({arguments})")
    for name, values in OPEN.items():
        for value in values:
            yield wrong(
                f"modecover.open_data({value})" if name == "source" else f"modecover.open_data(x, {name}={value})"
            )
    for name, values in AUDIT.items():
        for value in values:
            given = {"real": "x", "fake": "x"} | {name: value}
            yield wrong(f"modecover.audit({', '.join(f'{key}={text}' for key, text in given.items())})")
    for value in LOAD:
        yield python(f"modecover.load({value})", make=copied("run"))
    for call in MODEL:
        yield python(f"{HEAD}modecover.load('run').{call}", name=f"model.{call}", make=copied("run"))
    for call in ENCODER:
        yield python(f"modecover.load('encoder-run').{call}", make=copied("encoder-run"))
    for call in RUN:
        code = f"{HEAD}modecover.train('gan', x, steps=2, batch=8, width=4).{call}"
        yield python(code, name=f"run.{call}", make=arrays)
    for code in MADE:
        yield python(code)
    for code in INTERVENTIONS:
        yield python(G + code, name=code)
    for code in DISPLAY:
        yield python(code)
    for arguments in BUILD:
        yield python(f"modecover.networks.build({arguments})")
    for code in OTHERS:
        yield wrong(code)
    for kind, opened in DATASETS.items():
        calls = [f"fetch({key})" for key in KEYS] + list(OF_DATASETS)
        for call in calls:
            code = f"{HEAD}g = torch.Generator()\n{opened}.{call}"
            right = "either" if kind == "endless" and "eye" in call else "refused"
            yield python(code, name=f"{kind}: {call}", make=both(arrays, pictures), right=right)
    for code in TAKEN:
        yield python(HEAD + code, name=f"taken: {code}"[:110], make=copied("run"), right="accepted")
    yield python(
        "before = torch.get_rng_state(); modecover.train('gan', 'ring', steps=2, batch=8, width=4)",
        name="torch's generator is left alone",
        right="accepted",
        check="torch.equal(before, torch.get_rng_state())",
    )
    code = HEAD + "modecover.train('gan', x, steps=2, batch=8, width=4); modecover.audit(x, x)"
    yield python(
        code,
        name="the arrays are left alone",
        right="accepted",
        check="np.array_equal(x, np.random.default_rng(0).normal(size=(60, 2)))",
    )
    code = "class L(__import__('modecover.runs.listener', fromlist=['Listener']).Listener):\n    def stepped(self, *_): raise {}\n"
    code += "modecover.train('gan', 'ring', 'new', steps=4, batch=8, width=4, listener=L())"
    yield python(
        code.format("modecover.UserError('stopped by the listener, as it wished.')"),
        name="a listener that raises",
        changes=("new",),
    )
