/// Pieces of a drawing, with one decimal for each coordinate.
enum SVG {
    static let colours = ["#1b6ca8", "#c8553d", "#3a7d44", "#8e5ea2", "#b8860b", "#4d4d4d", "#d81b60", "#00838f"]

    static func document(width: Double, height: Double, _ elements: [String]) -> String {
        let open =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Int(width))\" height=\"\(Int(height))\" "
            + "font-family=\"sans-serif\" font-size=\"12\">"
        let ground = "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        return ([open, ground] + elements + ["</svg>"]).joined(separator: "\n") + "\n"
    }

    /// A line of the grid.
    static func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
        "<line x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" x2=\"\(Self.number(x2))\" y2=\"\(Self.number(y2))\" stroke=\"#ddd\"/>"
    }

    static func label(
        _ x: Double,
        _ y: Double,
        _ text: String,
        _ anchor: String = "middle",
        _ colour: String = "#333"
    ) -> String {
        "<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" text-anchor=\"\(anchor)\" fill=\"\(colour)\">\(Self.escaped(text))</text>"
    }

    static func polyline(_ points: [(Double, Double)], _ colour: String) -> String {
        let path = points.map { "\(Self.number($0.0)),\(Self.number($0.1))" }.joined(separator: " ")
        return "<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\"/>"
    }

    static func dot(_ x: Double, _ y: Double, _ colour: String) -> String {
        "<circle cx=\"\(Self.number(x))\" cy=\"\(Self.number(y))\" r=\"3\" fill=\"\(colour)\"/>"
    }

    private static func number(_ value: Double) -> String { Figures.fixed(value, 1) }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { out, character in
            switch character {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            default: out.append(character)
            }
        }
    }
}
