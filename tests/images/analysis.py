#!/usr/bin/python3
"""How does a penguin's body mass grow with its flippers, species for species?

Usage: analysis.py [CSV [JSON]]

Fits body mass on flipper length with one intercept per species (least squares), and gives each coefficient a 95 %
interval by resampling penguins. The same rows and the same numpy give the same bytes: the seed is fixed, linear
algebra runs on one thread, and numbers are written with ten digits, because the last ones depend on the processor.
"""

import os

# Before numpy is loaded; sums on several threads are added up in any order.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import csv
import json
import sys

import numpy as np

ROUNDS = 2000
SEED = 20140305
DIGITS = 10


def main(source="/in/penguins/penguins.csv", target="/out/result.json"):
    species, flipper, mass = read(source)
    kinds = list(dict.fromkeys(species))
    design = np.column_stack([flipper] + [np.array([kind == one for one in species], dtype=float) for kind in kinds])
    coefficients, residuals = fit(design, mass)
    resampled = bootstrap(design, mass)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    deviation = mass - mass.mean()
    result = {
        "rows": len(mass),
        "rounds": len(resampled),
        "r_squared": number(1 - residuals @ residuals / (deviation @ deviation)),
        "coefficients": {
            name: {"estimate": number(value), "low": number(below), "high": number(above)}
            for name, value, below, above in zip(["flipper_length_mm", *kinds], coefficients, low, high)
        },
    }
    with open(target, "w", encoding="ascii", newline="\n") as out:
        json.dump(result, out, indent=2)
        out.write("\n")
    slope = result["coefficients"]["flipper_length_mm"]
    print(f"{len(mass)} penguins: {slope['estimate']:.2f} g per mm of flipper ({slope['low']:.2f} to {slope['high']:.2f})")


def read(source):
    """Complete rows: species, flipper lengths in millimetres, body masses in grams."""
    columns = ("species", "flipper_length_mm", "body_mass_g")
    with open(source, encoding="utf-8", newline="") as file:
        rows = [[row[name] for name in columns] for row in csv.DictReader(file)]
    rows = [row for row in rows if not {"", "NA"} & set(row)]
    species, flipper, mass = zip(*rows)
    return species, np.array(flipper, dtype=float), np.array(mass, dtype=float)


def fit(design, mass):
    coefficients = np.linalg.lstsq(design, mass, rcond=None)[0]
    return coefficients, mass - design @ coefficients


def bootstrap(design, mass):
    """Coefficients of resampled penguins; a sample that lacks a species has no fit and is drawn again."""
    random = np.random.Generator(np.random.PCG64(SEED))
    found = []
    while len(found) < ROUNDS:
        drawn = random.integers(len(mass), size=len(mass))
        if design[drawn].any(axis=0).all():
            found.append(fit(design[drawn], mass[drawn])[0])
    return np.array(found)


def number(value):
    return float(f"{value:.{DIGITS}g}")


if __name__ == "__main__":
    main(*sys.argv[1:])
