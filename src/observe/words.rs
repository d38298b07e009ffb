//! Enums whose variants are stable words in logs and metrics.

/// Makes an enum with one stable word a variant: `name` and `Display`; and `ALL`, where it says `listed`.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident listed {
            $($(#[$variant_meta:meta])* $variant:ident => $word:literal,)+
        }
    ) => {
        words! {
            $(#[$meta])*
            pub enum $name {
                $($(#[$variant_meta])* $variant => $word,)+
            }
        }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
        }
    };
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident => $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// The word that logs and metrics use. It does not change between releases.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(super) use words;
