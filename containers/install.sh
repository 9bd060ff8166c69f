#!/bin/sh
# Installs mlreco into /opt/mlreco of a Debian 12 system, as root, from the checkout in the working directory.
#   containers/install.sh cpu      # torch for CPUs
#   containers/install.sh cuda     # torch and spconv for CUDA
set -eu
kind=${1:-cpu}
case $kind in
  cpu) extras=root,parquet; index=${TORCH_INDEX-https://download.pytorch.org/whl/cpu} ;;
  cuda) extras=root,parquet,cuda; index= ;;
  *) echo "usage: containers/install.sh cpu|cuda" >&2; exit 2 ;;
esac
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates
python3 -m venv /opt/mlreco
/opt/mlreco/bin/python -m pip install --quiet ${index:+--extra-index-url "$index"} -c constraints.txt ".[$extras]"
ln -sf /opt/mlreco/bin/mlreco /usr/local/bin/mlreco
apt-get clean
rm -rf /var/lib/apt/lists/*
cd /
mlreco --version
