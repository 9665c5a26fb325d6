"""Triton kernel: the largest score of every group, for every embedding and number of items and queries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.config import ModelConfig, Part
from models.embeddings.codes import CodesEmbedding
from models.scorers.exact.grouped import GROUP, ChunkedMaxima
from models.scorers.filter import ItemFilter
from models.scorers.vectors import ItemVectors
from models.triton.group_maxima import FEW, ITEMS, MANY, GroupMaxima
from service_tests.contracts.test_scorers import make_model, make_queries

pytestmark = [pytest.mark.optional, pytest.mark.process]

ROOT = Path(__file__).parents[3]
TABLES = [
    Part("full"),
    Part("codes"),  # eight codes of six bits
    Part("codes", {"codebook": 50, "splits": 4}),
    Part("codes", {"codebook": 200, "splits": 2}),  # bytes
    Part("codes", {"levels": 16}),
    Part("codes", {"codebook": 10, "splits": 1}),
]


@pytest.mark.parametrize("table", TABLES, ids=lambda part: "-".join((part.name, *map(str, part.options.values()))))
@pytest.mark.parametrize("num_items", [1, GROUP - 1, GROUP, ITEMS - 1, ITEMS, 3 * ITEMS + GROUP + 5])
def test_maxima_equal_those_of_torch(table: Part, num_items: int, device: torch.device) -> None:
    model = make_model(table, "tied", num_items, num_items, whole=False).to(device)
    if isinstance(model.embedding, CodesEmbedding):
        num_subspaces, codebook_size = model.embedding.num_subspaces, model.embedding.codebook_size
        model.embedding.kept.zero_()
        model.embedding.set_codes(torch.randint(codebook_size, (num_items, num_subspaces), device=device))
    vectors = ItemVectors(model)
    kernel = GroupMaxima(model.embedding, GROUP)
    for rows in (1, FEW, FEW + 1, MANY + 3):
        query = make_queries(rows, rows, whole=False).to(device)
        maxima, expected = kernel(query), ChunkedMaxima(vectors)(query, ItemFilter(num_items))
        torch.testing.assert_close(maxima, expected, rtol=1e-5, atol=1e-5)


def test_odd_widths_and_bf16_tables_are_supported(device: torch.device) -> None:
    from models.build import build_model

    config = ModelConfig(Part("full"), Part("none"), Part("tied"), dim=24, max_len=5, dropout=0.0)
    model = build_model(config, 300).to(device).to(torch.bfloat16)
    table = model.embedding.table().detach()
    query = torch.randn(3, 24, device=device)
    scores = torch.nn.functional.pad(query @ table.float().T, (0, -301 % GROUP), value=-torch.inf)
    scores[:, 0] = -torch.inf
    maxima = GroupMaxima(model.embedding, GROUP)(query)
    torch.testing.assert_close(maxima, scores.view(3, -1, GROUP).amax(-1), rtol=1e-5, atol=1e-6)


def test_unsupported_embedding_error_names_its_class() -> None:
    with pytest.raises(ValueError, match="BlockEmbedding"):
        GroupMaxima(make_model(Part("blocks"), "tied", 50, 0, whole=False).embedding, GROUP)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["full", "packed", "bytes"])
def test_kernel_compiles_for_a_current_gpu(form: str, tmp_path: Path) -> None:
    """The compiler may reject code that the interpreter runs. A child process compiles: this one interprets."""
    if sys.platform != "linux":
        pytest.skip("Triton ships its assembler for Linux only")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    process = subprocess.run(
        [sys.executable, "-m", "service_tests.models.triton.compile_for_gpu", form],
        cwd=ROOT,
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.split() == ["cubin", "cubin"]
