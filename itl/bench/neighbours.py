"""Exact nearest neighbours."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from itl.bench.work import Work
from itl.evaluation.knn import nearest
from itl.training.batches import has_bf16

BASE, QUERIES, WIDTH, CLASSES, K = 100_000, 10_000, 512, 100, 5


def neighbours(folder: Path, device: str) -> Work:
    """The 5 nearest of 100,000 vectors of 512 numbers, by cosine, for each of 10,000; exactly.

    Vectors lie around 100 centres and have no negative numbers, as features do. Peers are given vectors of
    length 1; ours makes them itself.
    """
    del folder
    base, queries = (each.to(device) for each in clusters())
    unit = F.normalize(base), F.normalize(queries)
    peers, absent = {"torch, float32 products, topk": lambda: blocks(*unit)}, {}
    peer = "faiss-cpu, IndexFlatIP"
    try:
        peers[peer] = flat(*unit)
    except ImportError as error:
        absent[peer] = str(error)

    def agree() -> str:
        ours = nearest(base, queries, K)[0].cpu()
        exact = blocks(*(F.normalize(each.double()) for each in (base, queries[:500])))
        told = [f"{(ours[:500] == exact.cpu()).all(1).sum()} of 500 queries as float64 has them"]
        for name, search in peers.items():
            told.append(f"{(search().cpu() != ours).any(1).sum():,} of {QUERIES:,} not as in {name}")
        return "; ".join(told)

    return Work(
        f"{K} nearest of {BASE:,} × {WIDTH}",
        "queries",
        QUERIES,
        lambda: nearest(base, queries, K),
        peers,
        absent,
        moved=4 * WIDTH * (BASE + QUERIES),
        operations=2 * WIDTH * BASE * QUERIES,
        rate="bf16" if has_bf16(torch.device(device)) else "fp32",
        agree=agree,
    )


def clusters() -> tuple[Tensor, Tensor]:
    """Vectors (BASE, WIDTH) and (QUERIES, WIDTH) around the same centres."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=random)
    base, queries = (
        (centres[torch.arange(count) % CLASSES] + torch.randn(count, WIDTH, generator=random)).relu()
        for count in (BASE, QUERIES)
    )
    return base, queries


def blocks(base: Tensor, queries: Tensor) -> Tensor:
    """Rows (M, K) by plain products, 1,024 queries at once."""
    return torch.cat([(some @ base.T).topk(K, dim=1).indices for some in queries.split(1024)])


def flat(base: Tensor, queries: Tensor) -> Callable[[], Tensor]:
    """A go at a search in faiss's index of all vectors, filled beforehand, with as many threads as torch."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index, asked = faiss.IndexFlatIP(WIDTH), queries.cpu().numpy()
    index.add(base.cpu().numpy())
    return lambda: torch.from_numpy(index.search(asked, K)[1])
