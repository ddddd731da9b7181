"""Every loss in float64 NumPy, straight from its definition, with all pairs written out."""

import numpy as np

__all__ = ["decoupled", "distillation", "hard_negative", "info_nce", "positives", "siglip"]


def positives(count, image_ids=None, text_ids=None):
    """By image and text, whether they belong together."""
    found = np.eye(count, dtype=bool)
    for ids in (image_ids, text_ids):
        if ids is not None:
            found |= ids[:, None] == ids[None, :]
    return found


def log_sum_exp(rows, where=None):
    """Of each row, over the places that count."""
    where = np.ones_like(rows, dtype=bool) if where is None else where
    highest = np.where(where, rows, -np.inf).max(1, keepdims=True)
    return highest[:, 0] + np.log((np.exp(rows - highest) * where).sum(1))


def both_ways(one_way, images, texts, temperature, together):
    logits = images @ texts.T / temperature
    return (one_way(logits, together).mean() + one_way(logits.T, together.T).mean()) / 2


def info_nce(images, texts, *, temperature, smoothing=0.0, together=None, only_image_to_text=False):
    count = len(images)
    together = positives(count) if together is None else together

    def one_way(logits, together):
        targets = (1 - smoothing) * together / together.sum(1, keepdims=True) + smoothing / count
        return -(targets * (logits - log_sum_exp(logits)[:, None])).sum(1)

    if only_image_to_text:
        return one_way(images @ texts.T / temperature, together).mean()
    return both_ways(one_way, images, texts, temperature, together)


def siglip(images, texts, *, temperature, bias, together=None):
    count = len(images)
    labels = np.where(positives(count) if together is None else together, 1, -1)
    logits = images @ texts.T / temperature + bias
    return np.log1p(np.exp(-labels * logits)).sum() / count


def decoupled(images, texts, *, temperature, together=None):
    together = positives(len(images)) if together is None else together

    def one_way(logits, together):
        positive = (logits * together).sum(1) / together.sum(1)
        return log_sum_exp(logits, ~together) - positive

    return both_ways(one_way, images, texts, temperature, together)


def hard_negative(images, texts, *, temperature, beta, tau_plus, together=None):
    together = positives(len(images)) if together is None else together

    def one_way(logits, together):
        values = []
        for row, own in zip(logits, together, strict=True):
            positive, negatives = row[own].mean(), row[~own]
            weights = np.exp(beta * negatives) / np.exp(beta * negatives).mean()
            weighted = (weights * np.exp(negatives)).sum()
            rest = weighted - tau_plus * len(negatives) * np.exp(positive)
            rest = max(rest / (1 - tau_plus), len(negatives) * np.exp(-1 / temperature))
            values.append(-np.log(np.exp(positive) / (np.exp(positive) + rest)))
        return np.array(values)

    return both_ways(one_way, images, texts, temperature, together)


def distillation(
    images, texts, teacher, *, temperature, teacher_temperature, weight, together=None
):
    student_logits = images @ texts.T / temperature
    teacher_logits = teacher[0] @ teacher[1].T / teacher_temperature
    divergences = []
    for mine, theirs in ((student_logits, teacher_logits), (student_logits.T, teacher_logits.T)):
        log_mine = mine - log_sum_exp(mine)[:, None]
        log_theirs = theirs - log_sum_exp(theirs)[:, None]
        divergences.append((np.exp(log_theirs) * (log_theirs - log_mine)).sum(1).mean())
    contrast = info_nce(images, texts, temperature=temperature, together=together)
    return (1 - weight) * contrast + weight * sum(divergences) / 2
