"""Random labelled voxels for the tests of the losses."""

import torch


def random_batch(seed=0, voxels=60, events=3, classes=5, instances=4, unlabelled=0.1, dtype=torch.float64):
    """Embeddings, margins, seediness, batch, semantics and instances of random voxels, some without labels."""
    generator = torch.Generator().manual_seed(seed)

    def integers(high):
        return torch.randint(high, (voxels,), generator=generator)

    def missing():
        return torch.rand(voxels, generator=generator) < unlabelled

    embeddings = torch.randn(voxels, 3, generator=generator, dtype=torch.float64) * 0.5
    margins = torch.rand(voxels, generator=generator, dtype=torch.float64) + 0.3
    seediness = torch.rand(voxels, generator=generator, dtype=torch.float64)
    semantics = integers(classes).masked_fill(missing(), -1)
    numbers = integers(instances).masked_fill(missing(), -1)
    values = [x.to(dtype).requires_grad_() for x in (embeddings, margins, seediness)]
    return [*values, integers(events), semantics, numbers]
