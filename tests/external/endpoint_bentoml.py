"""A BentoML service, as its documentation has them."""

import bentoml


@bentoml.service(workers=1)
class Sums:
    @bentoml.api
    def add(self, numbers: list[int]) -> int:
        return sum(numbers)
