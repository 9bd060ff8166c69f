"""Installation: ``pip install -c constraints.txt -e '.[dev]'``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "mlreco" / "__init__.py").read_text(encoding="utf-8"))[1]

CORE = [
    "h5py>=3.10",
    "isal>=1.6",
    "numba>=0.60",
    "numpy>=1.26",
    "plotly>=5.20",
    "pydantic>=2.7",
    "pyyaml>=6.0",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "torch>=2.4",
    "tqdm>=4.66",
]
ROOT = ["awkward>=2.6", "uproot>=5.3"]
PARQUET = ["pyarrow>=16"]
FILTERS = ["hdf5plugin>=4.4"]
EXTRAS = {
    "cuda": ["spconv-cu126==2.3.8"],
    "root": ROOT,
    "parquet": PARQUET,
    "filters": FILTERS,
    "larcv": ["larcv>=3.5"],
    "bench": ["matplotlib>=3.8", "spconv==2.3.8; sys_platform == 'linux' and platform_machine == 'x86_64'"],
    "dev": [
        *ROOT,
        *PARQUET,
        *FILTERS,
        "hypothesis>=6.100",
        "packaging>=24",
        "pandas>=2.2",
        "pytest>=8.2",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        "setuptools>=77",
        "spine>=1.4.3",
    ],
}

setup(
    name="mlreco",
    version=VERSION,
    description="Reconstruction of particles in 3D images of liquid-argon time projection chambers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["mlreco", "mlreco.*"]),
    package_data={"mlreco": ["**/*.css", "**/*.js", "**/*.json", "**/*.html"]},
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["mlreco = mlreco.cli:main"]},
    classifiers=[
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Physics",
    ],
)
