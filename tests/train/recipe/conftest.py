from __future__ import annotations

import pytest


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.csv"
    path.write_text("id,path,label,split,saliency\n")
    path.with_name("targets.csv").write_text("id,x,y\n")
    return path
