"""Model files: what is loaded samples as what was saved, needs nothing else, and is never unpickled."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelHubMixin
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from modecover.errors import UserError
from modecover.networks import DCGANEncoder, DCGANGenerator, MLPEncoder, MLPGenerator
from modecover.training import model as model_module
from modecover.training.model import GenerativeModel, load

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

    model.networks["G"] = Constant()
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
    with pytest.raises(UserError, match=r"no config\.json"):
        GenerativeModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"library": "other"}, "not one that modecover saved"),
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
    monkeypatch.chdir(tmp_path)
    assert torch.equal(load("someone/ring").sample(2), model.sample(2))
    assert asked == [("someone/ring", {"allow_patterns": ["config.json", "model.safetensors"]})]

    def fail(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match=r"someone/ring is no folder here and could not be had .*ConnectionError"):
        load("someone/ring")


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
    with pytest.raises(UserError, match=r"could not be written .* No space left"):
        points().save_pretrained(tmp_path)


def test_wrong_requests_are_sentences() -> None:
    with pytest.raises(UserError, match="at least 1"):
        points().sample(0)
    with pytest.raises(UserError, match=r"2\.5 samples were asked for; ask for a whole number"):
        points().sample(2.5)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="do not fit into memory: ask for fewer"):
        points().sample(10**13)
    with pytest.raises(UserError, match="batch is 0"):
        points().sample(1, batch=0)
    with pytest.raises(UserError, match="named G"):
        GenerativeModel({}, prior={"law": "normal", "dimension": 1}, data={}, **FACTS)
    assert model_module.FORMAT == 1
