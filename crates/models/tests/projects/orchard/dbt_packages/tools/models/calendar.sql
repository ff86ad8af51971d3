select {{ tools.scaled('1') }} as day, '{{ var("suffix") }}' as suffix
