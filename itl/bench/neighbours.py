"""The row on exact nearest neighbours."""

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
    """Find the 5 nearest of 100,000 vectors of 512 numbers, by cosine, for each of 10,000 queries; exactly.

    Vectors lie around 100 centres and have no negative numbers, as features do. Peers are given vectors of
    length 1; itl normalises them itself.
    """
    del folder
    base, queries = (vectors.to(device) for vectors in clusters())
    unit = F.normalize(base), F.normalize(queries)
    peers, absent = {"torch, float32 products, topk": lambda: blocks(*unit)}, {}
    peer = "faiss-cpu, IndexFlatIP"
    try:
        peers[peer] = flat(*unit)
    except ImportError as error:
        absent[peer] = str(error)

    def agree() -> str:
        ours = nearest(base, queries, K)[0].cpu()
        exact = blocks(F.normalize(base.double()), F.normalize(queries[:500].double()))
        texts = [f"{(ours[:500] == exact.cpu()).all(1).sum()} of 500 queries as float64 has them"]
        for name, search in peers.items():
            texts.append(f"{(search().cpu() != ours).any(1).sum():,} of {QUERIES:,} not as in {name}")
        return "; ".join(texts)

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
    """Draw vectors (BASE, WIDTH) and (QUERIES, WIDTH) around the same centres."""
    random = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=random)
    base, queries = (
        (centres[torch.arange(count) % CLASSES] + torch.randn(count, WIDTH, generator=random)).relu()
        for count in (BASE, QUERIES)
    )
    return base, queries


def blocks(base: Tensor, queries: Tensor) -> Tensor:
    """Return the rows (M, K) of *base* nearest to *queries*, by plain products of 1,024 queries at once."""
    return torch.cat([(block @ base.T).topk(K, dim=1).indices for block in queries.split(1024)])


def flat(base: Tensor, queries: Tensor) -> Callable[[], Tensor]:
    """Return a search in faiss's index of all of *base*, filled beforehand, with as many threads as torch."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    index, wanted = faiss.IndexFlatIP(WIDTH), queries.cpu().numpy()
    index.add(base.cpu().numpy())
    return lambda: torch.from_numpy(index.search(wanted, K)[1])
