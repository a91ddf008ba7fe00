import mfc


class Base:
    def on_batch(self):
        pass


@mfc.callback()
class counts(Base, mfc.Callback):
    """Counts batches."""

    def before_fit(self):
        self.seen = 0

    def befor_batch(self):
        pass

    @property
    def after_bach(self):
        return self.seen

    async def before_épochs(self): ...

    before_steps = before_fit


@mfc.callback()
class fine(mfc.Callback):
    """Does nothing."""

    def _before_bach(self):
        pass

    def on_exception(self):
        pass
