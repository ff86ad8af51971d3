select loaf_id, name, {{ in_units('price_cents') }} as price, is_sweet
from {{ ref('loaves') }}
