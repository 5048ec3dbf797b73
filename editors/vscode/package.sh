#!/usr/bin/env bash
# Packages the extension as arch-VERSION.vsix in this folder; `code --install-extension` takes it.
set -euo pipefail
cd "$(dirname "$0")"
cp ../../LICENSE .
rm -rf page && cp -r ../../cnndsl/editing/page .
cp ../../cnndsl/figures/fonts/*.ttf page
npm ci --no-audit --no-fund
npm test
npm run package
