select '{{ dbt_utils.slugify("1 Hello World-Foo!") }}' as s, '{{ dbt_utils.pretty_log_format("x")[8:] }}' as p
