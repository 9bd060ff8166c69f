"""The losses once more, as plain loops over events, classes and instances, straight from the formulas."""

import math

import torch


def textbook_lovasz_hinge(p, y):
    """Lovasz hinge of one mask as in the reference text: sort, cumulate the Jaccard loss, take differences."""
    errors = 1.0 - (2.0 * p - 1.0) * (2.0 * y - 1.0)
    errors, order = torch.sort(errors, descending=True)
    truth = y[order]
    intersection = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1.0 - truth).cumsum(0)
    jaccard = 1.0 - intersection / union
    steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return torch.dot(torch.relu(errors), steps.detach())


def textbook_bce(p, y):
    return -(y * torch.log(p) + (1.0 - y) * torch.where(y == 1, 0.0, torch.log(1.0 - p + y))).mean()


def textbook_dice(p, y):
    return 1.0 - (2.0 * (p * y).sum() + 1.0) / (p.sum() + y.sum() + 1.0)


def textbook_focal(p, y, alpha=0.3):
    true_class_score = torch.where(y == 1, p, 1.0 - p)
    weight = y * alpha + (1.0 - y) * (1.0 - alpha)
    return -(weight * (1.0 - true_class_score) ** 2 * torch.log(true_class_score)).mean()


TEXTBOOK = {
    "lovasz_hinge": textbook_lovasz_hinge,
    "bce": textbook_bce,
    "dice": textbook_dice,
    "focal": textbook_focal,
}
OPTIONS = {"focal": {"alpha": 0.3}}


def group_terms(e, sigma, seed, numbers, mask_loss, delta_d, norm):
    """The four terms and the mean IoU of the voxels of one event and class."""
    mask, smoothing, seediness, overlap, centroids = [], [], [], [], []
    for k in sorted(set(numbers.tolist())):
        inside = numbers == k
        mu = e[inside].mean(0)
        sigma_k = sigma[inside].mean()
        p = torch.exp(-((e - mu) ** 2).sum(1) / (2.0 * sigma_k**2))
        y = inside.to(e.dtype)
        mask.append(TEXTBOOK[mask_loss](p, y))
        smoothing.append((sigma[inside] - sigma_k.detach()).abs().mean())
        difference = seed[inside] - p[inside].detach()
        seediness.append((difference**2 if norm == "l2" else difference.abs()).mean())
        predicted = p > 0.5
        overlap.append((predicted & inside).sum().to(e.dtype) / (predicted | inside).sum())
        centroids.append(mu)
    count = len(centroids)
    inter = e.new_zeros(())
    for i in range(count):
        for j in range(i + 1, count):
            inter = inter + torch.relu(2.0 * delta_d - torch.linalg.norm(centroids[i] - centroids[j])) ** 2
    terms = {
        "mask": sum(mask) / count,
        "smoothing": sum(smoothing) / count,
        "inter": inter / (count * (count - 1)) if count > 1 else inter,
        "seediness": sum(seediness) / count,
    }
    return terms, sum(overlap) / count


def inter_across_classes(e, labels, number, delta_d):
    """The inter term of one class of an event, with partners of all classes; labels are (class, instance) of voxels."""
    centroids = {name: e[[i for i, own in enumerate(labels) if own == name]].mean(0) for name in set(labels)}
    means = []
    for name in sorted(centroids):
        others = [centroids[other] for other in centroids if other != name]
        if name[0] == number:
            hinges = [torch.relu(2.0 * delta_d - torch.linalg.norm(centroids[name] - other)) ** 2 for other in others]
            means.append(sum(hinges, e.new_zeros(())) / (2 * max(1, len(hinges))))
    return sum(means) / len(means)


def plain_spice_loss(
    e, sigma, seed, batch, semantics, numbers, classes,
    mask_loss="lovasz_hinge", weights=(1.0, 1.0, 1.0, 1.0), delta_d=0.2, norm="l2", across_classes=False,
):  # fmt: skip
    """Dictionary of the terms, as SpiceLoss returns it; weights are those of mask, smoothing, inter, seediness."""
    events, per_class = [], {name: [] for name in classes}
    for b in sorted(set(batch.tolist())):
        groups = []
        for number, name in enumerate(classes):
            chosen = (batch == b) & (semantics == number) & (numbers >= 0)
            if not chosen.any():
                continue
            terms, overlap = group_terms(
                e[chosen], sigma[chosen], seed[chosen], numbers[chosen], mask_loss, delta_d, norm
            )
            if across_classes:
                event = (batch == b) & (semantics >= 0) & (numbers >= 0)
                labels = list(zip(semantics[event].tolist(), numbers[event].tolist(), strict=True))
                terms["inter"] = inter_across_classes(e[event], labels, number, delta_d)
            terms["loss"] = sum(weight * term for weight, term in zip(weights, terms.values(), strict=True))
            terms["accuracy"] = overlap
            groups.append(terms)
            per_class[name].append(terms)
        if groups:
            events.append({key: sum(group[key] for group in groups) / len(groups) for key in groups[0]})
    result = {key: sum(event[key] for event in events) / len(events) for key in events[0]}
    for name, groups in per_class.items():
        for key in ("loss", "accuracy"):
            mean = sum(group[key] for group in groups) / len(groups) if groups else math.nan
            result[f"{key}_{name}"] = torch.as_tensor(mean, dtype=e.dtype)
    return result
