//! The fields of a Telegram login, read in place.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::identity::IdentityError;

/// Fields that Telegram sends today, `hash` included; more are accepted.
const USUAL_FIELDS: usize = 7;

/// A login, its fields sorted by name.
pub(super) struct Login<'a> {
    fields: Vec<(Cow<'a, str>, Field<'a>)>,
    hash: Option<Cow<'a, str>>,
}

/// What a field holds. Numbers are shown as JavaScript shows them, which is how Telegram's text is made.
enum Field<'a> {
    Text(Cow<'a, str>),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
}

impl<'a> Login<'a> {
    /// Reads a login. Nothing is known about who made it until its hash is verified.
    pub(super) fn parse(token: &'a str) -> Result<Self, IdentityError> {
        let mut login: Self = serde_json::from_str(token).map_err(|_| {
            // The parser's own text repeats what it read.
            IdentityError::rejected("it is not a JSON object of texts and numbers")
        })?;
        let fields = &mut login.fields;
        fields.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let twice = fields.windows(2).any(|pair| match pair {
            [(one, _), (other, _)] => one == other,
            _ => false,
        });
        if twice {
            return Err(IdentityError::rejected("one of its fields comes twice"));
        }
        if !fields
            .iter()
            .all(|(name, field)| is_word(name) && field.is_one_line())
        {
            return Err(IdentityError::rejected(
                "one of its fields is not one that Telegram signs",
            ));
        }
        Ok(login)
    }

    /// Writes the text that Telegram authenticates: `name=value` of every field but the hash, sorted by name,
    /// joined by line feeds.
    pub(super) fn write_data_check_string(&self, to: &mut impl Write) -> fmt::Result {
        for (position, (name, field)) in self.fields.iter().enumerate() {
            if position > 0 {
                to.write_char('\n')?;
            }
            write!(to, "{name}={field}")?;
        }
        Ok(())
    }

    /// The authentication code that the login carries.
    pub(super) fn hash(&self) -> Result<[u8; 32], IdentityError> {
        let text = self
            .hash
            .as_deref()
            .ok_or_else(|| IdentityError::rejected("its hash is missing"))?;
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash)
            .map_err(|_| IdentityError::rejected("its hash is not 32 bytes in hex"))?;
        Ok(hash)
    }

    /// When the user logged in, in seconds since the Unix epoch.
    pub(super) fn auth_date(&self) -> Result<i64, IdentityError> {
        let seconds = match self.field("auth_date")? {
            Field::Text(text) => text.parse().ok(),
            Field::Signed(number) => Some(*number),
            Field::Unsigned(number) => i64::try_from(*number).ok(),
            Field::Float(_) => None,
        };
        seconds.ok_or_else(|| IdentityError::rejected("its auth_date is not a time"))
    }

    /// Telegram's number of the user.
    pub(super) fn id(&self) -> Result<impl Display, IdentityError> {
        self.field("id")
    }

    fn field(&self, name: &'static str) -> Result<&Field<'a>, IdentityError> {
        let mut named = self.fields.iter().filter(|(other, _)| other == name);
        match named.next() {
            Some((_, field)) => Ok(field),
            None => Err(IdentityError::rejected(format!("its {name} is missing"))),
        }
    }
}

fn is_word(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(fits)
}

impl Field<'_> {
    fn is_one_line(&self) -> bool {
        match self {
            Self::Text(text) => !text.contains('\n'),
            _ => true,
        }
    }
}

impl Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Signed(number) => number.fmt(f),
            Self::Unsigned(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
        }
    }
}

/// A text, borrowed from the input where it holds no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A field's value; `None` for one that is null or empty and so is not part of the login.
struct Value<'a>(Option<Field<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number or null")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value(None))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value(Some(Field::Signed(number))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value(Some(Field::Unsigned(number))))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value(Some(Field::Float(number))))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::text(Cow::Owned(text.to_owned())))
    }
}

impl<'a> Value<'a> {
    fn text(text: Cow<'a, str>) -> Self {
        Self((!text.is_empty()).then_some(Field::Text(text)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Login<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LoginVisitor)
    }
}

struct LoginVisitor;

impl<'de> Visitor<'de> for LoginVisitor {
    type Value = Login<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Login<'de>, A::Error> {
        let mut fields = Vec::with_capacity(USUAL_FIELDS);
        let mut hash = None;
        while let Some(Text(name)) = map.next_key()? {
            let Value(value) = map.next_value()?;
            match (name.as_ref(), value) {
                (_, None) => {}
                ("hash", Some(Field::Text(_))) if hash.is_some() => {
                    return Err(A::Error::duplicate_field("hash"));
                }
                ("hash", Some(Field::Text(text))) => hash = Some(text),
                ("hash", Some(_)) => return Err(A::Error::custom("the hash is not a text")),
                (_, Some(field)) => fields.push((name, field)),
            }
        }
        Ok(Login { fields, hash })
    }
}
