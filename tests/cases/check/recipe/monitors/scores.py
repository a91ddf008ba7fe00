import mfc


@mfc.metric(shape="b classes", targets=("category",))
class score:
    "Something that may be good high or low."
