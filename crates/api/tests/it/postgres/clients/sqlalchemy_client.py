"""SQLAlchemy: reflection of tables, views, keys and types, and queries made of what was reflected."""

import sqlalchemy as sa

for driver in ("psycopg", "psycopg2"):
    engine = sa.create_engine(f"postgresql+{driver}://")
    inspector = sa.inspect(engine)
    assert inspector.get_schema_names() == ["Odd Names", "main", "shop"] or set(inspector.get_schema_names()) >= {
        "Odd Names", "main", "shop"
    }, inspector.get_schema_names()
    assert inspector.get_table_names("shop") == ["everything", "orders"], inspector.get_table_names("shop")
    assert sorted(inspector.get_view_names("shop")) == ["everything_history", "orders_history"]
    assert inspector.get_pk_constraint("orders", "shop")["constrained_columns"] == ["id"]
    assert inspector.get_pk_constraint("Line Items", "Odd Names")["constrained_columns"] == ["A", "b"]
    assert inspector.get_foreign_keys("orders", "shop") == []
    assert inspector.get_indexes("orders", "shop") == []
    assert inspector.get_unique_constraints("orders", "shop") == []
    assert inspector.get_check_constraints("orders", "shop") == []
    assert inspector.get_table_comment("orders", "shop")["text"].startswith("Copy of public.orders")
    columns = {column["name"]: column for column in inspector.get_columns("orders", "shop")}
    assert isinstance(columns["amount"]["type"], sa.Numeric) and columns["amount"]["type"].scale == 2
    assert columns["id"]["nullable"] is False and columns["paid"]["nullable"] is True
    assert "paid" in inspector.get_view_definition("paid_by_customer", "main")

    metadata = sa.MetaData()
    metadata.reflect(engine, schema="shop", views=True)
    assert set(metadata.tables) == {"shop.everything", "shop.everything_history", "shop.orders", "shop.orders_history"}
    orders = metadata.tables["shop.orders"]
    with engine.connect() as connection:
        query = sa.select(orders.c.customer, sa.func.sum(orders.c.amount)).where(orders.c.paid == sa.true())
        rows = connection.execute(query.group_by(orders.c.customer).order_by(orders.c.customer)).all()
        assert [(name, str(total)) for name, total in rows] == [("ann", "10.00"), ("bob", "7.25")], rows
        page = sa.select(orders.c.id).where(orders.c.id.in_([1, 2, 3])).order_by(orders.c.id.desc()).limit(2).offset(1)
        assert connection.execute(page).scalars().all() == [2, 1]
    engine.dispose()

print("ok")
