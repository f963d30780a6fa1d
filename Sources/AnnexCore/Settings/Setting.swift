/// Describes one thing that a server can be told: its names, what it may be, and what it means.
///
/// `Settings` is the value that holds it, and a fresh one of these has the default. Readers of flags and files, bounds, `CONFIG` and the
/// reference in docs/settings.md all come from this.
package struct Setting<Settings>: Sendable {
    /// Names the places where it can be given and is shown.
    package struct Sources: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }

        /// It is given as `--name`.
        package static var flag: Sources { Sources(rawValue: 1) }
        /// It is given as `name:` in a YAML file.
        package static var file: Sources { Sources(rawValue: 2) }
        /// It is given by `CONFIG SET`, while the server runs.
        package static var configSet: Sources { Sources(rawValue: 4) }
    }

    package enum Value: Sendable {
        case whole(
            ClosedRange<Int>,
            read: @Sendable (Settings) -> Int,
            write: @Sendable (inout Settings, Int) -> Void
        )
        /// The setting is a time, said in whole seconds. Code may set parts of a second, so the bounds hold for what is
        /// said only.
        case seconds(
            ClosedRange<Int>,
            read: @Sendable (Settings) -> Duration,
            write: @Sendable (inout Settings, Duration) -> Void
        )
        /// The setting is a number with a fraction. `form` says in words what is accepted.
        case number(
            form: String,
            accepts: @Sendable (Double) -> Bool,
            read: @Sendable (Settings) -> Double?,
            write: @Sendable (inout Settings, Double) -> Void
        )
        /// The setting is a text that `write` understands. A path of a file is relative to that file.
        case text(
            form: String,
            isPath: Bool,
            read: @Sendable (Settings) -> String?,
            write: @Sendable (inout Settings, String) throws(AnnexError) -> Void
        )
    }

    /// Names the flag, without its dashes, and the key of the file.
    package let name: String
    package let sources: Sources
    /// The name that `CONFIG GET` shows; nil: it shows none.
    package let parameter: String?
    /// Holds the unit of the value. It is empty where it has none.
    package let unit: String
    /// Stands for the default in documents, where that differs between machines.
    package let automatic: String?
    package let help: String
    package let value: Value

    package init(
        _ name: String,
        _ sources: Sources,
        parameter: String? = nil,
        unit: String = "",
        automatic: String? = nil,
        _ value: Value,
        help: String
    ) {
        self.name = name
        self.sources = sources
        self.parameter = parameter
        self.unit = unit
        self.automatic = automatic
        self.help = help
        self.value = value
    }
}

extension Setting.Value {
    package static func whole(_ path: any WritableKeyPath<Settings, Int> & Sendable, _ range: ClosedRange<Int>) -> Self
    {
        .whole(range, read: { $0[keyPath: path] }, write: { $0[keyPath: path] = $1 })
    }

    package static func seconds(
        _ path: any WritableKeyPath<Settings, Duration> & Sendable,
        _ range: ClosedRange<Int>
    ) -> Self {
        .seconds(range, read: { $0[keyPath: path] }, write: { $0[keyPath: path] = $1 })
    }

    /// Makes a setting whose value is one of a few words.
    package static func choice<Choice: RawRepresentable & CaseIterable & Sendable>(
        read: @escaping @Sendable (Settings) -> Choice?,
        write: @escaping @Sendable (inout Settings, Choice) -> Void
    ) -> Self where Choice.RawValue == String {
        let form = Choice.allCases.map(\.rawValue).joined(separator: " or ")
        return .text(form: form, isPath: false, read: { read($0)?.rawValue }) { settings, text throws(AnnexError) in
            guard let choice = Choice(rawValue: text) else {
                throw AnnexError(.usage, "is '\(Printable.escape(text))'", hint: "Give \(form)")
            }
            write(&settings, choice)
        }
    }

    /// Returns the value as one of a part of a larger value.
    func within<Outer>(
        _ part: any WritableKeyPath<Outer, Settings> & Sendable
    ) -> Setting<Outer>.Value {
        switch self {
        case .whole(let range, let read, let write):
            .whole(range, read: { read($0[keyPath: part]) }, write: { write(&$0[keyPath: part], $1) })
        case .seconds(let range, let read, let write):
            .seconds(range, read: { read($0[keyPath: part]) }, write: { write(&$0[keyPath: part], $1) })
        case .number(let form, let accepts, let read, let write):
            .number(
                form: form,
                accepts: accepts,
                read: { read($0[keyPath: part]) },
                write: { write(&$0[keyPath: part], $1) }
            )
        case .text(let form, let isPath, let read, let write):
            .text(form: form, isPath: isPath, read: { read($0[keyPath: part]) }) { outer, text throws(AnnexError) in
                try write(&outer[keyPath: part], text)
            }
        }
    }
}

extension Setting {
    /// Returns the setting as one of a part of a larger value.
    package func within<Outer>(_ part: any WritableKeyPath<Outer, Settings> & Sendable) -> Setting<Outer> {
        Setting<Outer>(
            self.name,
            Setting<Outer>.Sources(rawValue: self.sources.rawValue),
            parameter: self.parameter,
            unit: self.unit,
            automatic: self.automatic,
            self.value.within(part),
            help: self.help
        )
    }

    /// Returns the setting without some of the places where it can be given.
    package func without(_ ways: Sources) -> Setting<Settings> {
        Setting(
            self.name,
            self.sources.subtracting(ways),
            parameter: self.parameter,
            unit: self.unit,
            automatic: self.automatic,
            self.value,
            help: self.help
        )
    }

    /// Returns the whole numbers that are accepted.
    package var bounds: ClosedRange<Int>? {
        switch self.value {
        case .whole(let range, _, _), .seconds(let range, _, _): range
        case .number, .text: nil
        }
    }
}
