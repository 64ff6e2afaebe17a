"""Model files: what is loaded samples as what was saved, needs nothing else, and is never unpickled."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelHubMixin
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modecover.engine.state import Prior
from modecover.errors import UserError
from modecover.networks import DCGANEncoder, DCGANGenerator, MLPEncoder, MLPGenerator, ResidualGenerator
from modecover.runs import records
from modecover.runs.model import GenerativeModel, load

FACTS: dict[str, Any] = {
    "method": {"name": "ivlsgan", "settings": {"k": 2}},
    "training": {"steps": 10, "seed": 3, "moving_average": False},
}


def points(law: str = "normal", seed: int = 0) -> GenerativeModel:
    torch.manual_seed(seed)
    data = {"name": "ring", "shape": [2], "value_range": None}
    generator = MLPGenerator(shape=(2,), latent=3, hidden=(16,), batch_norm=True)
    generator(torch.randn(64, 3))  # moves the running statistics away from their first values
    networks: dict[str, nn.Module] = {"G": generator, "E": MLPEncoder(shape=(2,), latent=3, hidden=(8,))}
    return GenerativeModel(networks, prior={"law": law, "dimension": 3}, data=data, **FACTS)


def pictures() -> GenerativeModel:
    torch.manual_seed(1)
    shape = (3, 16, 16)
    networks: dict[str, nn.Module] = {
        "G": DCGANGenerator(shape=shape, latent=4, width=2),
        "E": DCGANEncoder(shape=shape, latent=4, width=2),
    }
    data = {"name": "pictures", "shape": list(shape), "value_range": [-1.0, 1.0]}
    return GenerativeModel(networks, prior={"law": "uniform", "dimension": 4}, data=data, **FACTS)


class Own(nn.Module):
    """A user's network, with state that is no parameter and weights that are shared."""

    def __init__(self, latent: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(latent, latent)
        self.again = self.layer
        self.out = nn.Linear(latent, 2)
        self.register_buffer("shift", torch.tensor(5.0))

    def forward(self, z: Tensor) -> Tensor:
        result: Tensor = self.out(self.again(self.layer(z))) + self.shift
        return result


def own() -> GenerativeModel:
    torch.manual_seed(2)
    data = {"name": "mine", "shape": [2], "value_range": None}
    return GenerativeModel({"G": Own()}, prior={"law": "normal", "dimension": 3}, data=data, **FACTS)


@pytest.mark.parametrize("make", [points, pictures])
def test_saved_and_loaded_is_the_same_bit_for_bit(tmp_path: Path, make: Any) -> None:
    saved = make()
    saved.save_pretrained(tmp_path)
    torch.manual_seed(99)
    loaded = GenerativeModel.from_pretrained(tmp_path)
    assert saved.state_dict().keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in saved.state_dict().items())
    assert torch.equal(saved.sample(5, seed=1), loaded.sample(5, seed=1))
    assert torch.equal(saved.encode(saved.sample(5)), loaded.encode(saved.sample(5)))
    assert loaded.config() == saved.config()
    assert loaded.method == FACTS["method"] and loaded.training_facts == FACTS["training"]
    assert isinstance(loaded, ModelHubMixin)


def test_folder_holds_the_hub_layout_and_no_pickle(tmp_path: Path) -> None:
    points().save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architecture"]["G"]["class"] == "MLPGenerator" and config["prior"]["dimension"] == 3
    assert all(name.split(".")[0] in ("G", "E") for name in load_file(tmp_path / "model.safetensors"))
    card = (tmp_path / "README.md").read_text()
    assert "library_name: modecover" in card and "# ivlsgan on ring" in card


def test_saving_again_over_an_older_model(tmp_path: Path) -> None:
    points(seed=0).save_pretrained(tmp_path)
    newer = points(seed=1)
    newer.save_pretrained(tmp_path)
    assert torch.equal(load(tmp_path).sample(4), newer.sample(4))


def test_samples_are_g_of_the_priors_rows_in_evaluation_mode() -> None:
    model = points()
    z = model.latents(6, seed=4)
    generator = model.networks["G"]
    expected = torch.stack([generator(row[None])[0] for row in z])  # one by one: no batch statistics
    torch.testing.assert_close(model.sample(6, seed=4), expected)
    torch.testing.assert_close(model.sample(6, seed=4, batch=4), expected)
    assert torch.equal(model.sample(6, seed=4), model.sample(6, seed=4))
    assert not torch.equal(model.sample(6, seed=4), model.sample(6, seed=5))


def test_sampling_leaves_torchs_random_state_alone() -> None:
    model = points()
    state = torch.get_rng_state()
    model.sample(10)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("law", "mean", "std", "low"), [("normal", 0, 1, -9), ("uniform", 0, 3**-0.5, -1), ("uniform01", 0.5, 12**-0.5, 0)]
)
def test_latents_follow_the_law(law: str, mean: float, std: float, low: float) -> None:
    z = points(law).latents(40_000)
    assert z.mean().item() == pytest.approx(mean, abs=4 * std / 120_000**0.5)
    assert z.std().item() == pytest.approx(std, rel=0.02)
    assert z.min() >= low and z.dtype == torch.float32


def test_pixels_are_rounded_from_minus_one_to_one() -> None:
    model = pictures()

    class Constant(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            values = torch.tensor([-1.0, 1.0, 0.0, 2.0, -1 + 2 / 255])
            return values.repeat(len(z), 1)[:, :, None, None]

    model.networks["G"], model.data["shape"] = Constant(), [5, 1, 1]
    assert model.sample_images(1).flatten().tolist() == [0, 255, 128, 255, 1]
    with pytest.raises(UserError, match="not images"):
        points().sample_images(1)


def test_encode_is_e_and_refuses_what_it_cannot_take() -> None:
    model = points()
    x = torch.randn(7, 2, dtype=torch.float64)
    torch.testing.assert_close(model.encode(x, batch=3), model.networks["E"](x.float()))
    with pytest.raises(UserError, match=r"shape \(7, 3\); it takes rows of shape \(2,\)"):
        model.encode(torch.zeros(7, 3))
    with pytest.raises(UserError, match="no encoder"):
        own().encode(x)


def test_a_model_is_a_frozen_copy_always_in_evaluation_mode() -> None:
    network = Own()
    network.train()
    model = GenerativeModel({"G": network}, prior={"law": "normal", "dimension": 3}, data={"shape": [2]}, **FACTS)
    before = model.sample(3)
    assert network.training and network.layer.weight.requires_grad
    with torch.no_grad():
        network.out.weight.zero_()
    model.train()
    assert not any(module.training for module in model.modules())
    assert torch.equal(model.sample(3), before)
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_users_own_network_is_passed_when_loading(tmp_path: Path) -> None:
    saved = own()
    saved.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r'Own, which only you can build: pass it as networks=\{"G": Own\(\.\.\.\)\}'):
        load(tmp_path)
    loaded = load(tmp_path, networks={"G": Own()})
    assert torch.equal(loaded.sample(5), saved.sample(5))
    assert loaded.networks["G"].again is loaded.networks["G"].layer
    with pytest.raises(UserError, match="do not fit"):
        load(tmp_path, networks={"G": Own(latent=4)})
    with pytest.raises(UserError, match="has no network D"):
        load(tmp_path, networks={"D": Own()})


def test_a_subclass_of_ours_counts_as_the_users_own(tmp_path: Path) -> None:
    class Special(MLPGenerator):
        pass

    model = points()
    model.networks["G"] = Special(shape=(2,), latent=3)
    assert model.config()["architecture"]["G"]["arguments"] is None


def test_run_folders_lead_to_their_model(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="no model yet"):
        load(tmp_path)
    expected = points()
    expected.save_pretrained(tmp_path / "model")
    assert torch.equal(load(tmp_path).sample(3), expected.sample(3))
    assert torch.equal(load(tmp_path, seed=3).sample(3), expected.sample(3))
    with pytest.raises(UserError, match="trained with seed 3, not 4"):
        load(tmp_path, seed=4)


def test_a_run_of_several_seeds_gives_the_first_or_the_chosen(tmp_path: Path) -> None:
    models = {seed: points(seed=seed) for seed in (2, 10)}
    for seed, model in models.items():
        model.training_facts["seed"] = seed
        model.save_pretrained(tmp_path / "model" / f"seed-{seed}")
    for place in (tmp_path, tmp_path / "model"):
        assert torch.equal(load(place).sample(3), models[2].sample(3))
        assert torch.equal(load(place, seed=10).sample(3), models[10].sample(3))
    with pytest.raises(UserError, match="no seed 4: choose one of 2, 10"):
        load(tmp_path, seed=4)


def test_places_without_a_model_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        load(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        load(tmp_path / "file")
    with pytest.raises(UserError, match="holds no model"):
        GenerativeModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"library": "other"}, "of another program than modecover"),
        ({"format": 5}, "version 5, and this modecover reads version 1"),
        ({"prior": None}, r"damaged \(it lacks prior\)"),
        ({"prior": {"law": "cauchy", "dimension": 3}}, "'cauchy'"),
        ({"architecture": {"G": {"class": "Gone", "arguments": {}}}}, "Gone"),
    ],
)
def test_foreign_damaged_and_newer_configs(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    points().save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=sentence):
        load(tmp_path)
    path.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        GenerativeModel.from_pretrained(tmp_path)


def test_damaged_weights_are_noticed(tmp_path: Path) -> None:
    points().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    good = path.read_bytes()
    for damaged in (b"", good[:-1], good[:-3] + bytes([good[-3] ^ 1]) + good[-2:]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
            load(tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        load(tmp_path)


def test_weights_rewritten_by_another_tool_are_taken(tmp_path: Path) -> None:
    points().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, tmp_path / "model.safetensors")
    name = next(iter(weights))
    assert torch.equal(load(tmp_path).networks.state_dict()[name], weights[name] + 1)


def test_a_poisoned_pickle_beside_the_model_is_never_read(tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    poison = f"cos\nsystem\n(S'touch {proof}'\ntR.".encode()
    model = points()
    model.save_pretrained(tmp_path / "model")
    for name in ("pytorch_model.bin", "model.pt", "model.pkl"):
        (tmp_path / "model" / name).write_bytes(poison)
    assert torch.equal(load(tmp_path).sample(2), model.sample(2))
    (tmp_path / "model" / "model.safetensors").write_bytes(poison)
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path)
    assert not proof.exists()


def test_a_hub_name_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    model = points()
    model.save_pretrained(tmp_path / "there")
    asked: list[Any] = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options))
        shutil.copytree(tmp_path / "there", tmp_path / "cache")
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: None)
    monkeypatch.chdir(tmp_path)
    assert torch.equal(load("someone/ring").sample(2), model.sample(2))
    assert asked == [("someone/ring", {"allow_patterns": ["config.json", "model.safetensors"]})]

    def fail(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match=r"someone/ring is no folder here and could not be had .*ConnectionError"):
        load("someone/ring")


def test_a_model_had_earlier_is_taken_where_the_hub_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    model = points()
    model.save_pretrained(tmp_path / "cache")

    def never(*_: Any, timeout: float, **__: Any) -> None:
        assert timeout < 10
        raise TimeoutError

    def kept(name: str, *, local_files_only: bool = False, **_: Any) -> str:
        assert local_files_only, "nothing is asked of a server that does not answer"
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", never)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", kept)
    assert torch.equal(load("someone/ring").sample(2), model.sample(2))


def test_push_to_hub_uploads_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    uploaded = tmp_path / "uploaded"

    class Repository:
        repo_id = "someone/ring"

    def upload(self: HfApi, *, folder_path: Path, **_: Any) -> str:
        shutil.copytree(folder_path, uploaded)
        return "https://hub"

    monkeypatch.setattr(HfApi, "create_repo", lambda *_, **__: Repository())
    monkeypatch.setattr(HfApi, "upload_folder", upload)
    model = points()
    for opened, published in [
        ({"source": "ring:modes=5"}, {"source": "ring:modes=5"}),
        ({"source": str(tmp_path / "private.npy")}, None),
        ({"source": "mnist", "data_dir": str(tmp_path)}, None),
    ]:
        model.data["opened"] = opened
        assert model.push_to_hub("someone/ring") == "https://hub"
        assert load(uploaded).data.get("opened") == published
        assert model.data["opened"] == opened
        shutil.rmtree(uploaded)
    model.push_to_hub("someone/ring")
    assert torch.equal(load(uploaded).sample(2), model.sample(2))


def test_an_unwritable_folder_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(UserError, match=r"The model in .* cannot be written \(No space left"):
        points().save_pretrained(tmp_path)


def test_wrong_requests_are_sentences() -> None:
    with pytest.raises(UserError, match="0 samples were asked for; ask for at least 1"):
        points().sample(0)
    with pytest.raises(UserError, match=r"n is 2\.5: give a whole number"):
        points().sample(2.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"10,000,000,000,000 samples do not fit into memory: .* ask for fewer"):
        points().sample(10**13)
    with pytest.raises(UserError, match="batch is 0"):
        points().sample(1, batch=0)
    with pytest.raises(UserError, match="named G"):
        GenerativeModel({}, prior={"law": "normal", "dimension": 1}, data={}, **FACTS)
    assert records.FORMAT == 1


# ---------------------------------------------------------------- a model from somebody else


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sound model."""
    folder = tmp_path_factory.mktemp("good")
    points().save_pretrained(folder)
    return folder


@pytest.fixture
def theirs(good: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return Path(shutil.copytree(good, tmp_path / "theirs"))


HOSTILE: list[Any] = [None, True, -1, 2.5, 10**9, 10**30, "../x", [[]], {"a": 1}]


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every place in a mapping of mappings."""
    if not isinstance(value, dict):
        return [path]
    return ([path] if path else []) + [place for key in value for place in places(value[key], (*path, key))]


def put(config: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A copy of the config with `value` at the place; `...` leaves the place out."""
    config = json.loads(json.dumps(config))
    inner = config
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    if value is ...:
        del inner[place[-1]]
    return config


def test_whatever_a_config_holds_a_model_is_sound_or_refused_in_a_sentence(theirs: Path) -> None:
    config = json.loads((theirs / "config.json").read_text())
    told = []
    for place in places(config):
        for value in (..., *HOSTILE):
            (theirs / "config.json").write_text(json.dumps(put(config, place, value)))
            try:
                assert load(theirs).sample(3).isfinite().all()
            except UserError as error:
                told.append(str(error))
    assert len(told) > 150
    assert [said for said in told if not said.endswith((".", "?")) or "\n" in said] == []


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("architecture", "G"), [1], 'by its "class" and its "arguments", but this says'),
        (("architecture", "G", "class"), ["MLPGenerator"], "the network class"),
        (("architecture", "G", "class"), "os.system", "which this version does not have"),
        (("architecture", "G", "arguments"), [3, [2]], "must be given by name"),
        (("architecture", "G", "arguments", "hidden"), [10**9, 10**9], "larger than the weights|not fit into memory"),
        (("architecture", "G", "arguments", "latent"), 10**9, "larger than the weights|not fit into memory"),
        (("architecture", "G", "arguments", "latent"), 10**30, "no machine counts so far"),
        (("architecture", "G", "arguments", "shape"), [10**9, 10**9, 10**9], "too large|larger|not fit"),
        (("architecture", "G", "arguments", "batch_norm"), 1, "give True or False"),
        (("architecture", "G", "arguments", "activation"), {}, "give a text"),
        (("architecture", "../x"), {"class": "MLPEncoder", "arguments": {"shape": [2], "latent": 3}}, "is no name"),
        (("architecture", "a.b"), {"class": "MLPEncoder", "arguments": {"shape": [2], "latent": 3}}, "is no name"),
        (("architecture", "forward"), {"class": "MLPEncoder", "arguments": {"shape": [2], "latent": 3}}, "is no name"),
        (("architecture", ""), {"class": "MLPEncoder", "arguments": {"shape": [2], "latent": 3}}, "is no name"),
        (("architecture", "G"), ..., "needs a network named G"),
        (("prior", "dimension"), 4, r"G cannot take rows of shape \(4,\)"),
        (("prior", "dimension"), 10**12, "G cannot take rows of shape"),
        (("prior", "dimension"), True, "prior.dimension is True: give a whole number"),
        (("prior", "law"), ["normal"], "prior.law is .*: choose normal"),
        (("data", "shape"), [3], r"G made .* of shape \(2, 2\), where \(2, 3\) belongs"),
        (("data", "shape"), "22", "give a list or tuple"),
        (("data", "shape"), ..., "give a list or tuple"),
        (("data", "shape"), [0], "give the shape of one sample"),
        (("data", "name"), 7, "data.name is 7: give a text"),
        (("training", "seed"), "3", "give a whole number"),
        (("format",), True, "of format version True"),
    ],
)
def test_what_is_wrong_with_a_config_is_named(theirs: Path, place: tuple[str, ...], value: Any, sentence: str) -> None:
    path = theirs / "config.json"
    path.write_text(json.dumps(put(json.loads(path.read_text()), place, value)))
    with pytest.raises(UserError, match=sentence):
        load(theirs)


def test_many_small_layers_are_not_built_beyond_the_weights_that_fill_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {"G": ResidualGenerator(latent=2, shape=(1, 16, 16), width=2)}
    data = {"name": "small", "shape": [1, 16, 16], "value_range": [-1.0, 1.0]}
    GenerativeModel(networks, prior=Prior(2), data=data, **FACTS).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(put(config, ("architecture", "G", "arguments", "blocks"), 10**9)))
    with pytest.raises(UserError, match="larger than the weights"):
        load(tmp_path)


@pytest.mark.parametrize("content", ["[" * 10_000, '{"a":' * 10_000, "nul", "[1e999]", '"\\ud800"', "\0", "\ufeff{}"])
def test_a_config_that_is_no_config(theirs: Path, content: str) -> None:
    (theirs / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"damaged|of another program than modecover"):
        load(theirs)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_pipe_is_not_waited_for(theirs: Path, name: str, make: Callable[[Path], None]) -> None:
    (theirs / name).unlink()
    make(theirs / name)
    with pytest.raises(UserError, match=rf"{name} .*is no plain file"):
        load(theirs)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w * float("nan"), "holds NaN or infinity in"),
        (lambda w: w / 0, "holds NaN or infinity in"),
        (lambda w: w.double() * 1e300, "holds NaN or infinity in"),
        (lambda w: w + 1j, "holds complex numbers in"),
        (lambda w: (100 * w).to(torch.int64), "is torch.int64 of shape .* where numbers of shape"),
        (lambda w: w[None], "do not fit the networks"),
        (lambda w: w[:0], "do not fit the networks|larger than the weights"),
        (lambda w: w * 1e38, "G makes NaN or infinities"),
    ],
)
def test_weights_that_are_none(theirs: Path, change: Callable[[Tensor], Tensor], sentence: str) -> None:
    path = theirs / "model.safetensors"
    weights = load_file(path)
    changed = {name: change(value) if name == "G.layers.0.weight" else value for name, value in weights.items()}
    if "makes" in sentence:
        changed = {name: change(value) if value.is_floating_point() else value for name, value in weights.items()}
    save_file({name: value.contiguous() for name, value in changed.items()}, path)
    with pytest.raises(UserError, match=sentence):
        load(theirs)


def test_nothing_that_a_model_names_is_opened(theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modecover import data
    from modecover.cli import main
    from modecover.data import opening

    secret = tmp_path / "secret.npy"
    np.save(secret, np.zeros((9, 2)))
    path = theirs / "config.json"
    config = json.loads(path.read_text())
    config["data"] |= {"name": str(secret), "opened": {"source": str(secret)}}
    config["method"]["name"] = "$\\frac{$ \0 \udcff \n"  # no formula, and nothing that a font has: a picture's title
    path.write_text(json.dumps(config))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model's data was opened")

    import modecover.auditing.inputs  # noqa: F401  # it reads the options of the true one, once

    monkeypatch.setattr(data, "open_data", refuse)
    monkeypatch.setattr(opening, "open_data", refuse)
    for out in ("drawn.png", "drawn.npy"):
        assert main(["sample", str(theirs), "--count", "50", "--out", str(tmp_path / out)]) == 0
    assert main(["evaluate", str(theirs)]) == 2  # a model alone does not say what it is compared with


@pytest.mark.parametrize(
    ("name", "modes"),
    [("ring", 8), ("ring:modes=5", 5), ("ring:modes=9999999999", None), ("./ring", None), ("x" * 999, None)],
)
def test_built_in_mixtures_are_known_by_name(name: str, modes: int | None) -> None:
    from modecover.cli.models import mixture_of

    model = points()
    model.data["name"] = name
    mixture = mixture_of(model)
    assert (None if mixture is None else len(mixture.centres)) == modes


WRONG: list[Any] = [None, "1", b"1", 2.5, float("nan"), [1], True, -1, 10**30, object(), torch.zeros(3)]


@pytest.mark.parametrize("value", WRONG)
def test_wrong_arguments_are_sentences(good: Path, value: Any) -> None:
    model = points()
    requests: list[Callable[[], Any]] = [
        lambda: model.sample(value),
        lambda: model.sample(2, seed=value),
        lambda: model.sample(2, batch=value),
        lambda: model.encode(value),
        lambda: load(value),
        lambda: load(good, networks={"G": value}),
    ]
    if value is not None:
        requests += [lambda: load(good, seed=value), lambda: load(good, networks=value)]
    if not (isinstance(value, int) and value > 2):
        requests.append(lambda: GenerativeModel(value, prior=Prior(3), data={"shape": [2]}, **FACTS))
    for request in requests:
        with pytest.raises(UserError) as caught:
            request()
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["a\0b", "\udcff", "a\0/b"])
def test_names_that_no_folder_can_have(path: str) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load(path)


def test_counts_and_seeds_of_numpy_are_those_of_python() -> None:
    model = points()
    expected = model.sample(3, seed=5)
    found = model.sample(np.int64(3), seed=np.int32(5), batch=np.int8(3))  # type: ignore[arg-type]
    assert torch.equal(found, expected)


def test_a_network_that_makes_something_else_is_named() -> None:
    model = points()
    model.networks["G"] = nn.Linear(3, 4)
    with pytest.raises(UserError, match=r"G made .* of shape \(2, 4\), where \(2, 2\) belongs"):
        model.sample(2)
    model.networks["G"] = nn.Linear(5, 2)
    with pytest.raises(UserError, match=r"G cannot take rows of shape \(3,\)"):
        model.sample(2)
