"""The `pip` of a job: answers `pip install -r FILE` from cached layers.

Everything else goes to the real pip.

environment        a job's own, throwaway Python environment on top of an image's
requirement_files  what a requirements file and the files it names say, if it can be cached
layers             requirements installed once, then attached in milliseconds
__main__           the command line

Runs in two places: as `local_aws.containers.job_pip`, and under the name `pip` inside a job, on the
image's interpreter, so it needs the standard library only. `import pip` in a job still finds the
real one: this package hands itself over to it.
"""

# The only code in a package map: it has to happen when a job says `import pip`.
if __name__ == "pip":
    import sys
    from pathlib import Path

    _here = Path(__file__).resolve().parent
    for _entry in sys.path:
        _real = Path(_entry, "pip").resolve()
        if _real != _here and (_real / "__init__.py").is_file():
            __path__.append(str(_real))
            exec((_real / "__init__.py").read_text())  # noqa: S102
            break
