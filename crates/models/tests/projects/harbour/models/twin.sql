select 'view of its own' as kind
