"""Installation: ``pip install -c constraints.txt -e '.[dev]'``."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "mlreco" / "version.py").read_text(encoding="utf-8"))[1]

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
REMOTE = ["pooch>=1.8", "requests>=2.31"]
PARQUET = ["pyarrow>=16"]
ANALYSIS = ["matplotlib>=3.8"]
FILTERS = ["hdf5plugin>=4.4"]
SIMULATE = ["geant4-pybind==0.1.3; sys_platform == 'linux' and platform_machine == 'x86_64'"]
DOCS = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"]
TENSORBOARD = ["tensorboard>=2.17"]
DASK = ["distributed>=2024.8"]
EXTRAS = {
    "cuda": ["spconv-cu126==2.3.8"],
    "root": ROOT,
    "parquet": PARQUET,
    "analysis": ANALYSIS,
    "filters": FILTERS,
    "pandas": ["pandas>=2.2"],
    "remote": REMOTE,
    "tensorboard": TENSORBOARD,
    "dask": DASK,
    "larcv": ["larcv>=3.5"],
    "simulate": SIMULATE,
    "docs": DOCS,
    "bench": [*ANALYSIS, "spconv==2.3.8; sys_platform == 'linux' and platform_machine == 'x86_64'"],
    "dev": [
        *ROOT,
        *PARQUET,
        *ANALYSIS,
        *REMOTE,
        *FILTERS,
        *SIMULATE,
        *DOCS,
        *TENSORBOARD,
        *DASK,
        "hypothesis>=6.100",
        "mypy>=2.0",
        "packaging>=24",
        "pandas>=2.2",
        "pre-commit>=4.0",
        "pytest>=8.2",
        "pytest-cov>=6.0",
        "pytest-timeout>=2.3",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
        "setuptools>=77",
        "spine>=1.4.3",
        "triton>=3.6; sys_platform == 'linux' and platform_machine == 'x86_64'",  # comes with torch for CUDA
        "types-PyYAML",
    ],
}

SHIPPED = ("*.cfg", "include/*", "sample/*", "weights/*.ckpt", "weights/*.yaml", "weights/*.md")


class BuildWithConfigurations(build_py):
    """Puts the top-level folder ``config`` into the package, where `mlreco.shipped` looks for it."""

    def run(self) -> None:
        """Build, then copy the shipped files."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib) / "mlreco" / "shipped_files"
        shutil.rmtree(folder, ignore_errors=True)
        for source in sorted(path for pattern in SHIPPED for path in (HERE / "config").glob(pattern)):
            target = folder / source.relative_to(HERE / "config")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


setup(
    name="mlreco",
    version=VERSION,
    description="Reconstruction of particles in 3D images of liquid-argon time projection chambers",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["mlreco", "mlreco.*"]),
    package_data={
        "mlreco": ["**/*.css", "**/*.js", "**/*.json", "**/*.html", "py.typed", "simulation/geant4/no_data/*"]
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    cmdclass={"build_py": BuildWithConfigurations},
    entry_points={"console_scripts": ["mlreco = mlreco.cli:main"]},
    project_urls={"Paper": "https://arxiv.org/abs/2007.03083"},
    keywords=["LArTPC", "neutrino physics", "instance segmentation", "sparse convolution"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Topic :: Scientific/Engineering :: Physics",
        "Typing :: Typed",
    ],
)
