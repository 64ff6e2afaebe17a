"""Feeds: pure functions of (seed, position), whole epochs, parts and stacks bitwise, streamed or not."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from modecover.data import Feed, StreamedImages, open_data
from modecover.errors import UserError

numbered = np.arange(23, dtype=np.float32)[:, None].repeat(2, axis=1)  # row n holds n twice


def rows_of(feed, positions):
    return [feed.batch(p) for p in positions]


@pytest.fixture
def folder(tmp_path):
    for n in range(11):
        Image.fromarray(np.full((3, 4), 20 * n, np.uint8)).save(tmp_path / f"{n:02}.png")
    return tmp_path


def test_each_epoch_gives_every_sample_once_and_drops_nothing_at_its_border():
    feed = Feed(open_data(numbered), 5, [7])
    seen = torch.cat(rows_of(feed, range(23)))[:, 0]  # 23 minibatches of 5 are 5 epochs of 23
    epochs = seen.view(5, 23)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(23))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 5, "epochs share an order"


def test_batch_as_large_as_the_set_is_a_permutation():
    feed = Feed(open_data(numbered), 23, [0])
    for position in range(3):
        assert sorted(feed.batch(position)[:, 0].tolist()) == list(range(23))


@pytest.fixture(params=["ring", "points", "digits", "fixed stacks", "fresh stacks", "streamed"])
def dataset(request, folder):
    return {
        "ring": lambda: open_data("ring"),
        "points": lambda: open_data(numbered),
        "digits": lambda: open_data("digits"),
        "fixed stacks": lambda: open_data("stacked-mnist:k=2,count=30"),
        "fresh stacks": lambda: open_data("stacked-mnist:fresh"),
        "streamed": lambda: open_data(folder, memory_limit=0),
    }[request.param]()


def test_batches_depend_on_seed_and_position_alone(dataset):
    feed = Feed(dataset, 6, [3])
    forward = rows_of(feed, range(70))
    fresh = Feed(dataset, 6, [3])
    for position in (69, 0, 40, 31, 32, 5):
        assert torch.equal(fresh.batch(position), forward[position])
    assert not torch.equal(forward[0], forward[1])
    assert not torch.equal(Feed(dataset, 6, [4]).batch(0), forward[0])


def test_stacked_seeds_get_what_single_seeds_get(dataset):
    stacked = Feed(dataset, 6, [5, 0, 9])
    single = [Feed(dataset, 6, [seed]) for seed in (5, 0, 9)]
    for position in (0, 1, 3, 35):
        expected = torch.cat([feed.batch(position) for feed in single])
        assert torch.equal(stacked.batch(position), expected)


def test_parts_laid_together_are_the_whole_batch(dataset):
    feed = Feed(dataset, 6, [5, 0])
    for position in (0, 1, 3, 7, 33):  # several of them lie across the border of an epoch
        whole = feed.batch(position).view(2, 6, *dataset.shape)
        parts = [feed.batch(position, part, 3).view(2, 2, *dataset.shape) for part in range(3)]
        assert torch.equal(torch.cat(parts, dim=1), whole)


def test_global_random_state_is_left_alone(dataset):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    feed = Feed(dataset, 4, [1])
    feed.batch(0)
    feed.batch(40)
    assert torch.equal(torch.get_rng_state(), before)


def test_changing_a_batch_in_place_changes_no_later_one(dataset):
    feed = Feed(dataset, 4, [1])
    kept = feed.batch(2).clone()
    feed.batch(2).zero_()
    assert torch.equal(feed.batch(2), kept)


def test_labels_follow_the_rows():
    data = open_data(numbered, labels=np.arange(23) % 4)
    feed = Feed(data, 5, [2, 3])
    for position in (0, 4):
        labels = data.labels_of(feed.keys(position))
        assert labels is not None and torch.equal(labels, feed.batch(position)[:, 0].long() % 4)


def test_workers_read_ahead_what_the_feed_reads_alone(folder):
    data = open_data(folder, memory_limit=0)
    assert isinstance(data, StreamedImages)
    plain, ahead = Feed(data, 4, [1, 2]), Feed(data, 4, [1, 2], workers=1)
    state = torch.get_rng_state()
    for position in (3, 4, 5, 0, 1):  # one jump back
        assert torch.equal(ahead.batch(position), plain.batch(position))
    assert torch.equal(ahead.batch(2, 1, 2), plain.batch(2, 1, 2))
    ahead.close()
    assert torch.equal(ahead.batch(2), plain.batch(2))
    assert torch.equal(torch.get_rng_state(), state)
    ahead.close()


def test_a_streamed_set_can_be_sent_to_a_process_that_was_not_forked(folder):
    data = open_data(folder, memory_limit=0, progress=lambda *told: None)  # a function that no pickle holds
    again = pickle.loads(pickle.dumps(data))
    assert torch.equal(again.read(torch.arange(11)), data.read(torch.arange(11)))


def test_worker_hands_over_a_damaged_picture_as_one_sentence(folder):
    data = open_data(folder, memory_limit=0, size=3, channels=1)
    broken = folder / "04.png"
    broken.write_bytes(broken.read_bytes()[:50])
    feed = Feed(data, 11, [0], workers=1)
    with pytest.raises(UserError, match=r"04\.png cannot be read") as caught:
        feed.batch(0)
    assert "Traceback" not in str(caught.value)
    feed.close()


def test_too_few_samples_for_a_batch():
    with pytest.raises(UserError, match="has 23 samples, too few for a batch of 24; choose batch=23 or fewer"):
        Feed(open_data(numbered), 24, [0])


def test_batch_and_parts_are_checked():
    with pytest.raises(UserError, match="at least 1"):
        Feed(open_data("ring"), 0, [0])
    with pytest.raises(UserError, match="no part 0 of 3"):
        Feed(open_data("ring"), 4, [0]).batch(0, 0, 3)
