"""What provenance says of the code that made a run."""

import subprocess

from itl.runs import provenance


def test_an_installed_copy_inside_somebodys_repository_has_no_commit(tmp_path, monkeypatch):
    """As in the usual .venv of a project, whose commits are not those of itl."""

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    package = tmp_path / ".venv/itl"
    (package / "runs").mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "analysis.py").touch()
    git("init")
    git("add", "analysis.py")
    git("commit", "-m", "mine")
    monkeypatch.setattr(provenance, "__file__", str(package / "runs/provenance.py"))
    assert provenance.commit.__wrapped__() == "none"
    git("add", ".")
    git("commit", "-m", "the source tree itself")
    assert provenance.commit.__wrapped__() == git("rev-parse", "--short=12", "HEAD")
    (package / "__init__.py").write_text("# changed")
    assert provenance.commit.__wrapped__().endswith(" with changes")
