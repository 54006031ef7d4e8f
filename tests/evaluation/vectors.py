"""Vectors to find neighbours among, and the slow way to find them; a GPU machine may lack scikit-learn."""

import torch


def slowly(base: torch.Tensor, queries: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows and similarities by brute force in float64, one query at a time, the lower row first."""
    base, queries, sorted_rows = base.double(), queries.double(), []
    lengths = base.norm(dim=1)
    for query in queries:
        scale = lengths * query.norm()
        alike = (base * query).sum(1) / scale.masked_fill(scale == 0, 1.0)
        sorted_rows.append(alike.sort(descending=True, stable=True))
    values, rows = (torch.stack(parts)[:, :k] for parts in zip(*sorted_rows, strict=True))
    return rows, values


def world(kind: str, rows: int, width: int, seed: int) -> torch.Tensor:
    """Vectors that are easy, hard or impossible to tell apart in a few digits."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, width, generator=random)
    centre = torch.randn(5, width, generator=torch.Generator().manual_seed(7))[torch.arange(rows) % 5]
    return {
        "random": noise,
        "clusters": centre + 0.2 * noise,
        "one direction": 1 + 0.01 * noise.relu(),
        "below bfloat16": centre[:1] + 1e-4 * noise,
        "below float32": centre[:1] + 3e-7 * noise,
        "twice": noise[torch.arange(rows) // 2],
        "all alike": centre[:1].expand(rows, width).clone(),
        "many zeros": noise * (torch.arange(rows) % 3 == 0)[:, None],
        "all lengths": noise * 10.0 ** torch.linspace(-30, 30, rows)[:, None],
    }[kind]
