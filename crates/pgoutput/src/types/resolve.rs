//! From rows of `pg_type` to a [`TypeKind`].

use millstream_core::TypeKind;

/// Domains over domains that are followed. PostgreSQL has no bound of its own, and no schema is known to need more than two; a
/// catalogue read while it changes could name itself.
const DOMAIN_DEPTH_MAX: usize = 32;

/// What a row of `pg_type` says of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogType {
    /// `typtype`: `b` base, `c` composite, `d` domain, `e` enum, `m` multirange, `p` pseudo, `r` range.
    pub typtype: u8,
    /// `typcategory`: `A` for arrays.
    pub typcategory: u8,
    /// `typbasetype` of a domain, otherwise 0.
    pub typbasetype: u32,
    /// `typtypmod` of a domain, otherwise -1.
    pub typtypmod: i32,
    /// `typelem`, 0 if it has no elements.
    pub typelem: u32,
}

/// A type that can't be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The catalogue's rows lack one.
    #[error("type {0} is not in the catalogue")]
    Missing(u32),
    /// A domain of a domain of a domain …
    #[error("type {0} is a domain nested more than {DOMAIN_DEPTH_MAX} deep")]
    TooDeep(u32),
}

/// Resolves a column's type: built-in types by their OID (fixed since PostgreSQL 7), others by the catalogue's rows, of which
/// `lookup` must have the type itself and what its rows name (`typbasetype`, `typelem`).
pub fn resolve(
    oid: u32,
    typmod: i32,
    lookup: impl Fn(u32) -> Option<CatalogType>,
) -> Result<TypeKind, ResolveError> {
    let (mut oid, mut typmod) = (oid, typmod);
    let mut array = false;
    for _ in 0..DOMAIN_DEPTH_MAX {
        if let Some(kind) = built_in(oid, typmod) {
            return Ok(if array { TypeKind::Array(Box::new(kind)) } else { kind });
        }
        let row = lookup(oid).ok_or(ResolveError::Missing(oid))?;
        match row.typtype {
            b'd' => {
                oid = row.typbasetype;
                // A modifier stands at the column or at the domain, never at both.
                if row.typtypmod >= 0 {
                    typmod = row.typtypmod;
                }
            }
            b'e' if array => return Ok(TypeKind::Array(Box::new(TypeKind::Enum))),
            b'e' => return Ok(TypeKind::Enum),
            b'b' if row.typcategory == b'A' && row.typelem != 0 && !is_vector(oid) => {
                if array {
                    // An array of a domain over an array: its literal nests one in the other.
                    return Ok(TypeKind::Array(Box::new(TypeKind::Other)));
                }
                array = true;
                oid = row.typelem;
            }
            _ if array => return Ok(TypeKind::Array(Box::new(TypeKind::Other))),
            _ => return Ok(TypeKind::Other),
        }
    }
    Err(ResolveError::TooDeep(oid))
}

/// `int2vector` and `oidvector` call themselves arrays and are printed as `1 2 3`.
fn is_vector(oid: u32) -> bool {
    matches!(oid, 22 | 30)
}

/// OIDs of `src/include/catalog/pg_type.dat`. `"char"` (18) is left to `Other`: its binary form is a byte of no encoding.
fn built_in(oid: u32, typmod: i32) -> Option<TypeKind> {
    Some(match oid {
        16 => TypeKind::Bool,
        17 => TypeKind::Bytea,
        20 => TypeKind::Int8,
        21 => TypeKind::Int2,
        23 => TypeKind::Int4,
        26 => TypeKind::Oid,
        114 => TypeKind::Json,
        700 => TypeKind::Float4,
        701 => TypeKind::Float8,
        19 | 25 | 1042 | 1043 => TypeKind::Text,
        1082 => TypeKind::Date,
        1083 => TypeKind::Time,
        1114 => TypeKind::Timestamp,
        1184 => TypeKind::TimestampTz,
        1186 => TypeKind::Interval,
        1266 => TypeKind::TimeTz,
        1700 => TypeKind::Numeric { declared: numeric_modifier(typmod) },
        2950 => TypeKind::Uuid,
        3802 => TypeKind::Jsonb,
        _ => return None,
    })
}

/// `numerictypmodin`: precision in the upper half, an eleven-bit signed scale in the lower, the varlena header's four bytes added.
fn numeric_modifier(typmod: i32) -> Option<(u16, i16)> {
    let packed = typmod.checked_sub(4).filter(|&packed| packed >= 0)?;
    let scale = (packed & 0x7ff) ^ 0x400;
    Some(((packed >> 16) as u16, (scale - 0x400) as i16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: CatalogType =
        CatalogType { typtype: b'b', typcategory: b'U', typbasetype: 0, typtypmod: -1, typelem: 0 };

    fn catalogue(oid: u32) -> Option<CatalogType> {
        Some(match oid {
            1007 => CatalogType { typcategory: b'A', typelem: 23, ..BASE },
            1231 => CatalogType { typcategory: b'A', typelem: 1700, ..BASE },
            22 => CatalogType { typcategory: b'A', typelem: 21, ..BASE },
            600 => CatalogType { typcategory: b'G', typelem: 701, ..BASE },
            // A domain over numeric(10,2), a domain over that, an array of it.
            90001 => CatalogType { typtype: b'd', typbasetype: 1700, typtypmod: (10 << 16 | 2) + 4, ..BASE },
            90002 => CatalogType { typtype: b'd', typbasetype: 90001, ..BASE },
            90003 => CatalogType { typcategory: b'A', typelem: 90002, ..BASE },
            90004 => CatalogType { typtype: b'e', typcategory: b'E', ..BASE },
            90005 => CatalogType { typcategory: b'A', typelem: 90004, ..BASE },
            90006 => CatalogType { typtype: b'd', typbasetype: 1007, ..BASE },
            90007 => CatalogType { typtype: b'd', typbasetype: 90007, ..BASE },
            90008 => CatalogType { typtype: b'c', typcategory: b'C', ..BASE },
            90009 => CatalogType { typcategory: b'A', typelem: 90006, ..BASE },
            _ => return None,
        })
    }

    #[test]
    fn domains_are_looked_through_and_arrays_know_their_element() {
        let numeric = || TypeKind::Numeric { declared: Some((10, 2)) };
        let array = |kind| TypeKind::Array(Box::new(kind));
        let cases = [
            (1007, array(TypeKind::Int4)),
            (22, TypeKind::Other),
            (600, TypeKind::Other),
            (90001, numeric()),
            (90002, numeric()),
            (90003, array(numeric())),
            (90004, TypeKind::Enum),
            (90005, array(TypeKind::Enum)),
            (90006, array(TypeKind::Int4)),
            (90008, TypeKind::Other),
            (90009, array(TypeKind::Other)),
        ];
        for (oid, kind) in cases {
            assert_eq!(resolve(oid, -1, catalogue), Ok(kind), "{oid}");
        }
        assert_eq!(resolve(90007, -1, catalogue), Err(ResolveError::TooDeep(90007)));
        assert_eq!(resolve(4711, -1, catalogue), Err(ResolveError::Missing(4711)));
    }

    #[test]
    fn a_numeric_modifier_holds_precision_and_signed_scale() {
        // From pg_attribute.atttypmod of numeric(12,2), numeric(3,-2), numeric(2,5), numeric(1000,1000) of PostgreSQL 15.
        for (typmod, declared) in
            [(786438, (12, 2)), (198658, (3, -2)), (131081, (2, 5)), (65537004, (1000, 1000))]
        {
            assert_eq!(numeric_modifier(typmod), Some(declared), "{typmod}");
        }
        assert_eq!(numeric_modifier(-1), None);
        assert_eq!(
            resolve(1231, 786438, catalogue),
            Ok(TypeKind::Array(Box::new(TypeKind::Numeric { declared: Some((12, 2)) })))
        );
    }
}
