"""The sampled softmax loss approaches the full loss with many negatives."""

import torch

from models.heads.base import Negatives
from models.training.negatives import PopularitySampler
from service_tests.support.artifacts import tiny_catalogue, tiny_config, tiny_model

CATALOGUE = tiny_catalogue(200)


def test_sampled_loss_approaches_the_full_loss() -> None:
    model = tiny_model(tiny_config("sasrec"), CATALOGUE)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 16, generator=generator)
    targets = torch.randint(1, 201, (50,), generator=generator)
    full = model.head.cross_entropy(hidden, targets, model.embedding, None).item()
    torch.manual_seed(3)
    sampler = PopularitySampler(CATALOGUE.counts, 100_000, torch.device("cpu"))
    sampled = model.head.cross_entropy(hidden, targets, model.embedding, sampler.draw()).item()
    assert abs(sampled - full) < 0.02 * full


def test_items_are_sampled_as_often_as_the_correction_assumes() -> None:
    torch.manual_seed(0)
    negatives = PopularitySampler(CATALOGUE.counts, 200_000, torch.device("cpu")).draw()
    assert negatives.items.min() >= 1
    times = torch.bincount(negatives.items, minlength=201).float()
    expected = torch.zeros(201)
    expected[negatives.items] = negatives.log_expected.exp()
    torch.testing.assert_close(times[1:], expected[1:], rtol=0.15, atol=20)


def test_negative_equal_to_the_target_is_ignored() -> None:
    model = tiny_model(tiny_config("sasrec"), CATALOGUE)
    hidden, targets = torch.randn(1, 16), torch.tensor([7])
    target_only = Negatives(torch.tensor([7, 7]), torch.zeros(2))
    loss = model.head.cross_entropy(hidden, targets, model.embedding, target_only)
    torch.testing.assert_close(loss, torch.tensor(0.0))
