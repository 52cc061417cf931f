package httpd

import (
	_ "embed" // the page
	"html/template"
)

//go:embed page.html
var pageText string

// page is the status page, made of a State.
var page = template.Must(template.New("status").Parse(pageText))
