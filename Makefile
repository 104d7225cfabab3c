.PHONY: check lint types imports test
check: lint types imports test
lint:
	ruff check . && ruff format --check .
types:
	mypy
imports:
	lint-imports
test:
	python -m pytest
